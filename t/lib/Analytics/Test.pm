package Analytics::Test;

# Copyright (C) The nginx analytics authors

# Starts a real nginx with the module, in a folder of its own and on ports of
# its own, and takes care that nothing of it is left behind: no process, no
# file, and no line in its error log that the test did not expect.
#
#     my $nginx = Analytics::Test->new(zone => '16m')->start;
#
#     is $nginx->post('/events/', '{"user_id":"a","event_type":"b"}')->{status},
#         201;
#
#     $nginx->stop;
#     done_testing;
#
# Environment:
#     ANALYTICS_MODULE    the module, by default the one that `make` builds
#     ANALYTICS_PRELOAD   libraries to preload, for a module with sanitizers
#     ANALYTICS_TIMEOUT   seconds until waiting is given up
#     TEST_NGINX_BINARY   nginx, by default /usr/sbin/nginx
#     TEST_LEAVE          keep the folder, to look at it

use strict;
use warnings;

use Carp qw(croak);
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Temp ();
use IO::Socket::INET;
use JSON::PP ();
use POSIX qw(:sys_wait_h);
use Test::More ();
use Time::HiRes qw(sleep time);

use Analytics::Client;

our @EXPORT = qw(wait_for is_json is_problem canonical data overwrite
    root_dir);

my $ROOT     = abs_path(dirname(__FILE__) . '/../../..');
my $NGINX    = $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';
my $LEVELS   = qr/\[(?:emerg|alert|crit|error|warn)\]/;
my $REPORT   = qr/Sanitizer|runtime error:/;
my $AUDIT    = qr/: a user is to be erased$|: (?:a|\d+) users? w(?:as|ere) erased/;

my $OWNER = $$;
my @RUNNING;

$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit 130 };


sub root_dir {
    return $ROOT;
}


sub module {
    my ($self) = @_;

    my $module = $self && $self->{module} || $ENV{ANALYTICS_MODULE}
        || "$ROOT/build/modules/ngx_http_analytics_module.so";

    die "there is no module at $module: run \"make\" first\n" unless -f $module;

    return abs_path($module);
}


# What can be set:
#     workers    how many worker processes, 2 by default
#     zone       size of the zone "site"
#     types, retain
#                what stands in its block
#     path       1: its log is in the folder "data" of the test's own; or
#                which other it is in
#     log        more lines of the zone's block, about the log
#     id         1: events of the format "event" have a member message_id
#     formats, locations, http, main
#                more of them
#     body       client_max_body_size
#     buffer     client_body_buffer_size
#     listen     more parameters of "listen"
#     server     replaces all locations
#     conf       replaces the whole file; %PORT%, %DIR% and %MODULE% are filled in
#     module     another build of the module
#     binary     another nginx, with the module in it
#     daemon     1: nginx becomes a daemon, as a binary upgrade needs it
#     wait       0: start() does not wait until the zone is ready
#     preload    a library to preload, and env, more environment variables

sub new {
    my ($class, %arg) = @_;

    my $self = bless {
        workers => 2, zone => '16m', body => '64m', buffer => '1m', types => 1000,
        retain => 'totals=all', main => '', http => '', formats => '',
        locations => '', listen => '', path => 0, log => '', id => 0,
        daemon => 0, wait => 1, preload => '', env => {}, %arg, expected => [],
    }, $class;

    $self->{dir} = File::Temp->newdir('analytics-XXXXXXXX', TMPDIR => 1,
        CLEANUP => !$ENV{TEST_LEAVE});

    # nginx's workers are someone else when it is started by root
    chmod 0755, $self->{dir};

    Test::More::diag("kept: $self->{dir}") if $ENV{TEST_LEAVE};

    return $self;
}


sub set {
    my ($self, %arg) = @_;

    $self->{$_} = $arg{$_} for keys %arg;

    return $self;
}


sub port { return $_[0]{port} }
sub dir  { return "$_[0]{dir}" }


# Lines of the error log that this test brings about, by pattern.

sub expect_log {
    my ($self, @patterns) = @_;

    push @{ $self->{expected} }, @patterns;

    return $self;
}


sub routes {
    my ($self) = @_;

    my $events = $self->{path} ? $self->event_routes : <<'CONF';
        location = /events          { analytics_collect site format=event; }
        location = /events/         { analytics_collect site format=event; }
CONF

    return $events . <<'CONF';
        location = /stats/total     { analytics_stats site total; }
        location = /stats/total/    { analytics_stats site total; }
        location = /stats/by-event-type   { analytics_stats site by_type; }
        location = /stats/by-event-type/  { analytics_stats site by_type; }
        location = /stats/by-user   { analytics_stats site by_user; }
        location = /stats/by-user/  { analytics_stats site by_user; }
        location = /stats/over-time   { analytics_stats site over_time; }
        location = /stats/over-time/  { analytics_stats site over_time; }
        location = /stats/recent-activity   { analytics_stats site recent; }
        location = /stats/recent-activity/  { analytics_stats site recent; }
        location /stats/user-activity/    { analytics_stats site user; }
        location = /usage-summary   { analytics_summary site format=usage; }
        location = /usage-summary/  { analytics_summary site format=usage; }
        location = /api/usage-summary   { analytics_summary site format=usage; }
        location = /api/usage-summary/  { analytics_summary site format=usage; }
        location = /health          { analytics_health; }
        location = /health/         { analytics_health; }
CONF
}


# Of a zone that has a log: single events.

sub event_routes {
    return <<'CONF';
        location = /events          { analytics_collect site format=event;
                                      analytics_events site format=event; }
        location = /events/         { analytics_collect site format=event;
                                      analytics_events site format=event; }
        location = /events/export   { analytics_export site format=event; }
        location = /api/event       { analytics_collect site format=activity
                                          answer=none; }
        location = /api/events      { analytics_events site format=activity
                                          by=received id=off limit=all; }
        location = /api/activity-counts { analytics_counts site
                                          format=activity; }
CONF
}


sub activity {
    return <<'CONF';
    analytics_format activity {
        user user_id integer;
        type action;
        time event_action_timestamp;
        properties metadata;
    }
CONF
}


sub user {
    return $> == 0 && defined getpwnam 'www-data' ? 'user www-data;' : '';
}


sub path {
    my ($self) = @_;

    return !$self->{path} ? '' : $self->{path} eq '1' ? 'path %DIR%/data;'
        : "path $self->{path};";
}


sub config {
    my ($self) = @_;

    my $server = $self->{server} // $self->routes . $self->{locations};
    my $temp   = join '', map { "    ${_}_temp_path %DIR%/$_;\n" }
        qw(client_body proxy fastcgi uwsgi scgi);

    my $conf = $self->{conf} // <<"CONF";
load_module %MODULE%;
@{[ $self->user ]}
worker_processes $self->{workers};
$self->{main}

events {
    worker_connections 2048;
}

http {
    client_max_body_size     $self->{body};
    client_body_buffer_size  $self->{buffer};
    keepalive_requests       10000000;
    keepalive_timeout        1h;
    client_header_timeout    1h;
    client_body_timeout      1h;
    send_timeout             1h;
    add_header               X-Worker \$pid always;

    analytics_zone site $self->{zone} {
        types $self->{types};
        retain $self->{retain};
        @{[ $self->path ]}
        $self->{log}
    }

    analytics_format event {
        user user_id;
        type event_type;
        time timestamp;
        properties metadata;
        @{[ $self->{id} ? 'id message_id;' : '' ]}
    }

    analytics_format usage {
        user user_id;
        type action_type;
        time timestamp;
        properties metadata;
    }

    @{[ $self->{path} ? $self->activity : '' ]}
    $self->{formats}
    $self->{http}

    server {
        listen 127.0.0.1:%PORT% $self->{listen};

$server
    }
}
CONF

    my $daemon = $self->{daemon} ? 'on' : 'off';

    $conf = "daemon $daemon;\npid %DIR%/nginx.pid;\n"
        . "error_log %DIR%/error.log info;\n" . $conf;
    $conf =~ s/^( *http \{\n)/$1${temp}    access_log off;\n/m;
    $conf =~ s/^load_module.*\n//m if $self->{binary};
    $conf =~ s/%(PORT|DIR|MODULE)%/
        $1 eq 'PORT' ? $self->{port} : $1 eq 'DIR' ? $self->dir
            : $self->module/gex;

    return $conf;
}


sub write_file {
    my ($path, $text) = @_;

    open my $fh, '>:raw', $path or die "$path: $!\n";
    print $fh $text;
    close $fh or die "$path: $!\n";
}


# The file is replaced: a reload that was asked for earlier may still read it.

sub write_config {
    my ($self) = @_;

    my $path = $self->dir . '/nginx.conf';

    write_file("$path.new", $self->config);
    rename "$path.new", $path or die "$path: $!\n";
}


# Changes bytes within a file.

sub overwrite {
    my ($path, $at, $bytes) = @_;

    open my $fh, '+<:raw', $path or die "$path: $!\n";
    seek $fh, $at, 0;
    print $fh $bytes;
    close $fh or die "$path: $!\n";
}


sub read_file {
    my ($path) = @_;

    open my $fh, '<:raw', $path or return '';
    local $/;

    return scalar <$fh> // '';
}


# A port that was free a moment ago.  If somebody else is quicker nginx cannot
# bind to it and start() takes another.

sub free_port {
    my $socket = IO::Socket::INET->new(
        Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0
    ) or die "no free port: $@\n";

    return $socket->sockport;
}


sub command {
    my ($self, @more) = @_;

    my $dir = $self->dir;

    return ($self->{binary} // $NGINX, '-p', $dir, '-c', "$dir/nginx.conf", '-e', "$dir/error.log",
        @more);
}


# nginx, in a process of its own whose current folder tells it apart.

sub spawn {
    my ($self, @command) = @_;

    my $dir = $self->dir;
    my $pid = fork // die "fork: $!\n";

    return $pid if $pid;

    # a sanitizer comes first

    my @preload = grep { length } $ENV{ANALYTICS_PRELOAD} // '',
        $self->{preload};

    $ENV{LD_PRELOAD} = "@preload" if @preload;
    @ENV{ keys %{ $self->{env} } } = values %{ $self->{env} };

    if ($ENV{ANALYTICS_PRELOAD}) {
        $ENV{ASAN_OPTIONS}  //= 'detect_leaks=0';
        $ENV{UBSAN_OPTIONS} //= 'print_stacktrace=1';
    }

    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);

    if (chdir $dir
        and open STDIN, '<', '/dev/null'
        and open STDOUT, '>>', "$dir/stderr.log"
        and open STDERR, '>>&', \*STDOUT)
    {
        exec @command;
    }

    POSIX::_exit(127);
}


sub start {
    my ($self) = @_;

    for (1 .. 5) {
        $self->{port} = free_port();

        $self->write_config;
        unlink $self->dir . '/error.log', $self->dir . '/stderr.log';

        return $self if $self->try_start;

        last unless $self->error_log =~ /Address already in use/;
    }

    croak "nginx did not start:\n" . $self->error_log . $self->stderr_log;
}


sub try_start {
    my ($self) = @_;

    my $pid_file = $self->dir . '/nginx.pid';
    my $pid      = $self->{pid} = $self->spawn($self->command);

    push @RUNNING, $self;

    my $up = wait_for(sub {
        my $ended = waitpid($pid, WNOHANG) == $pid;

        return -1 if $ended && ($? || !$self->{daemon});

        # a daemon is another process than what was started
        my ($master) = read_file($pid_file) =~ /^(\d+)$/m or return 0;

        return 0 if !$self->{daemon} && $master != $pid;

        $self->{pid} = $master if $self->{daemon};

        return $self->workers == $self->{workers};
    });

    $up = 0 if $up && $up > 0 && $self->{path} && $self->{wait}
        && !$self->ready;

    return $self->check_preload if $up && $up > 0;

    $self->kill_all;

    return 0;
}


# A sanitizer that is not there would find nothing.

sub check_preload {
    my ($self) = @_;

    for my $library (split ' ', $ENV{ANALYTICS_PRELOAD} // '') {
        my $path = abs_path($library) // $library;
        my ($worker) = $self->workers;

        index(read_file("/proc/$worker/maps"), $path) >= 0
            or die "$library is not loaded\n";
    }

    return 1;
}


# What /health says of a zone.

sub health {
    my ($self, $zone) = @_;

    my $health;

    # one who has the lock may have to wait for a processor

    wait_for(sub {
        $health = $self->get('/health')->json->{zones}{ $zone // 'site' };

        return ($health->{reason} // '') ne 'the zone is locked';
    });

    return $health;
}


# Has its checkpoints be so old that nobody copies the older ones any more.

sub age_checkpoints {
    my ($self) = @_;

    my $time = time - 7200;

    utime $time, $time, glob $self->dir . '/data/[0-9]*.checkpoint';
}


# Waits until, of one worker, there is another one in its place.

sub another_than {
    my ($self, $worker) = @_;

    wait_for(sub {
        my @workers = $self->workers;
        return @workers == 1 && $workers[0] != $worker;
    }) or die "no other worker came\n";
}


# Waits until a zone with a log has caught up with it.

sub ready {
    my ($self, $zone) = @_;

    return wait_for(sub {
        my $health = eval { $self->health($zone) };

        return $health && ($health->{state} // '') eq 'ready';
    });
}


# Runs nginx -t.  Returns whether it passed and what it said.

sub check {
    my ($self, %arg) = @_;

    $self->{port} //= free_port();

    $self->write_config;
    unlink $self->dir . '/stderr.log';

    my $pid = $self->spawn($self->command('-t', @{ $arg{more} // [] }));
    waitpid $pid, 0;

    return ($? == 0, $self->stderr_log);
}


# Processes whose current folder is ours, with their command lines.

sub processes {
    my ($self) = @_;

    my $dir = abs_path($self->dir);
    my %found;

    for my $proc (glob '/proc/[0-9]*') {
        my $cwd = readlink "$proc/cwd" // next;
        my ($pid) = $proc =~ /(\d+)$/;

        next unless $cwd eq $dir && $pid != $$;

        $found{$pid} = read_file("$proc/cmdline") =~ s/\0+$//r;
    }

    return \%found;
}


# Workers that take connections.

sub workers {
    my ($self) = @_;

    my $found = $self->processes;

    my @pids = sort { $a <=> $b }
        grep { $found->{$_} eq 'nginx: worker process' } keys %$found;

    return @pids;
}


sub signal {
    my ($self, $signal) = @_;

    kill $signal, $self->{pid} or die "kill: $!\n";
}


# Has nginx read its configuration again and waits until only new workers
# serve.  Returns false if nginx kept the old configuration.

sub reload {
    my ($self, %set) = @_;

    my %old = map { $_ => 1 } $self->workers;
    my $log = length $self->error_log;

    $self->set(%set);

    $self->write_config;

    $self->signal('HUP');

    my $state = wait_for(sub {
        return -1 if substr($self->error_log, $log) =~ /\[emerg\]/;

        my @now = keys %{ $self->processes };
        my @new = grep { !$old{$_} } $self->workers;

        return @new == $self->{workers} && !grep { $old{$_} } @now;
    });

    die "reload timed out\n" unless $state;

    return $state > 0;
}


sub error_log  { return read_file($_[0]->dir . '/error.log') }
sub stderr_log { return read_file($_[0]->dir . '/stderr.log') }


# Lines that no test should bring about, less those that this one expects.

sub unexpected {
    my ($self) = @_;

    my @lines = grep { /$LEVELS|$REPORT/ && !/$AUDIT/ }
        split /\n/, $self->error_log . $self->stderr_log;

    for my $pattern (@{ $self->{expected} }) {
        @lines = grep { !/$pattern/ || /$REPORT/ } @lines;
    }

    return @lines;
}


# Stops nginx, by default at once, and tests that it left nothing behind.

sub stop {
    my ($self, $signal) = @_;

    my $from  = length $self->error_log;
    my $clean = $self->{pid} && kill $signal // 'TERM', $self->{pid};

    $clean &&= wait_for(sub {
        waitpid($self->{pid}, WNOHANG);
        return !%{ $self->processes };
    });

    Test::More::ok($clean, 'nginx stops and leaves no process')
        or Test::More::diag(explain($self->processes));

    $self->kill_all;

    my @lines = $self->unexpected;

    # a master kills whoever does not end within three seconds, which may be
    # too little when the disk is busy

    if (($signal // 'TERM') eq 'TERM') {
        my %late = map { $_ => 1 } grep { /process \d+ exited on signal 9/ }
            split /\n/, substr $self->error_log, $from;

        @lines = grep { !$late{$_} } @lines;
    }

    Test::More::is(scalar @lines, 0, 'nothing unexpected in the error log')
        or Test::More::diag(join "\n", @lines[0 .. ($#lines > 40 ? 40 : $#lines)]);

    return $self;
}


sub explain {
    return Test::More::explain(@_);
}


# Ends what is left, by process id, all at the same moment.

sub kill_all {
    my ($self) = @_;

    @RUNNING = grep { $_ != $self } @RUNNING;

    my %killed = map { $_ => 1 } keys %{ $self->processes };

    # the master first: it would start its workers anew
    kill 'KILL', $self->{pid} // (), keys %killed;

    wait_for(sub {
        my @pids = keys %{ $self->processes };
        kill 'KILL', @pids;
        @killed{@pids} = ();
        waitpid($self->{pid}, WNOHANG) if $self->{pid};
        return !@pids;
    });

    # what they had locked is free when the last of their threads is gone

    wait_for(sub {
        waitpid($self->{pid}, WNOHANG) if $self->{pid};
        return !grep { !dead($_) } keys %killed;
    });

    delete $self->{pid};
}


sub dead {
    my ($pid) = @_;

    my $stat = read_file("/proc/$pid/stat");

    return $stat eq ''
        || $stat =~ /\) [ZX] / && 1 >= (() = glob "/proc/$pid/task/*");
}


END {
    if ($$ == $OWNER && @RUNNING) {
        my $status = $?;

        $_->kill_all for @RUNNING;

        $? = $status || 1;
    }
}


# Requests: a connection to keep, or one answer.

sub connect {
    my ($self) = @_;

    return Analytics::Client->new(port => $self->{port});
}


sub request {
    my ($self, $method, $path, %arg) = @_;

    my $client = $self->connect;
    my $answer = $client->request($method, $path, %arg, close => 1);

    $client->close;

    die "no answer to $method $path\n" unless $answer;

    return $answer;
}


sub get {
    my ($self, $path, %arg) = @_;

    return $self->request('GET', $path, %arg);
}


sub post {
    my ($self, $path, $body, %arg) = @_;

    return $self->request('POST', $path, body => $body,
        type => 'application/json', %arg);
}


# The answer to a GET that must succeed, as data.

sub json {
    my ($self, $path) = @_;

    my $answer = $self->get($path);

    die "GET $path: $answer->{line} $answer->{body}\n"
        unless $answer->{status} == 200;

    return $answer->json;
}


# Waits until a condition holds.  Returns what it returned, false if it did
# not hold in time: threads stand back for others, so that is long.

sub wait_for {
    my ($condition, $timeout) = @_;

    my $deadline = time + ($timeout // 5 * $Analytics::Client::TIMEOUT);
    my $pause    = 0.001;

    while (1) {
        my $value = $condition->();

        return $value if $value;
        return 0 if time > $deadline;

        sleep $pause;
        $pause *= 1.5 if $pause < 0.01;
    }
}


# For what is of "today": waits until the next day if this one, so many seconds
# ahead of UTC, is over that soon.

sub one_day {
    my ($seconds, $ahead) = @_;

    return wait_for(sub {
        (time + ($ahead // 0)) % 86400 < 86400 - $seconds;
    }, 2 * $seconds);
}


# JSON in one form, in which 1 and "1" differ.

sub canonical {
    my ($data) = @_;

    return JSON::PP->new->utf8->canonical->allow_nonref->encode($data);
}


sub data {
    my ($text) = @_;

    return JSON::PP->new->utf8->allow_nonref->decode($text);
}


# Compares data, or an answer's body, with JSON text or data.

sub is_json {
    my ($got, $expected, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $got = $got->json if ref $got eq 'Analytics::Response';
    $expected = data($expected) unless ref $expected;

    $got      = canonical($got);
    $expected = canonical($expected);

    return 1 if Test::More::ok($got eq $expected, $name);

    # where they part, for they may be long

    my $same = ($got ^ $expected) =~ /^(\0*)/ ? length $1 : 0;
    my $from = $same > 100 ? $same - 100 : 0;

    Test::More::diag("at byte $same\n     got: ", substr($got, $from, 400),
        "\nexpected: ", substr($expected, $from, 400));

    return 0;
}


# Tests that an answer is a problem document with that status, whose text
# mentions something.

sub is_problem {
    my ($answer, $status, $mention, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return Test::More::fail("$name: no answer") unless $answer;

    my $problem = eval { $answer->json };
    my @wrong;

    $problem = {} unless ref $problem eq 'HASH';

    push @wrong, "status $answer->{status}, not $status"
        if $answer->{status} != $status;
    push @wrong, 'not a problem document'
        if ($answer->header('content-type') // '') ne 'application/problem+json';
    push @wrong, 'does not say its status'
        if ($problem->{status} // '') ne $status;

    push @wrong, "has no $_"
        for grep { !length($problem->{$_} // '') } qw(title detail);

    push @wrong, "does not mention $mention"
        if defined $mention && $answer->{body} !~ $mention;

    return Test::More::ok(!@wrong, $name)
        || Test::More::diag(join "\n", @wrong, substr $answer->{body}, 0, 1000);
}


1;
