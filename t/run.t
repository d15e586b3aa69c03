# Copyright (C) The nginx analytics authors

# What "make run" starts: it serves everything on the address it is told,
# also out of a folder that workers cannot enter, and Ctrl-C leaves nothing.

use strict;
use warnings;

use File::Temp ();
use POSIX qw(:sys_wait_h setpgid);
use Test::More;

use Analytics::Client;
use Analytics::Test;

my $ROOT  = root_dir;
my $BUILD = $ENV{BUILD} || "$ROOT/build";

plan skip_all => 'the pages are not staged: run "make html"'
    unless -f "$BUILD/html/index.html";

my $TEMP = File::Temp->newdir('analytics-run-XXXXXXXX', TMPDIR => 1);
chmod 0755, $TEMP;


# A copy of what is needed, in a folder that only its owner can enter.

sub home {
    my ($name) = @_;

    my $home = "$TEMP/$name";

    mkdir $home, 0700 or die "$home: $!\n";
    system('cp', '-r', "$ROOT/conf", "$ROOT/misc", $home) == 0 or die;
    system("mkdir $home/build && cp -r $BUILD/html $BUILD/modules"
        . " $home/build/") == 0 or die;

    return $home;
}


sub start {
    my ($home, $port, @as) = @_;

    unlink "$TEMP/log";

    pipe my $ready, my $started or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        setpgid(0, 0);
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        syswrite $started, '.';
        @ENV{qw(TOP BUILD PORT TMPDIR)} = ($home, "$home/build", $port, $TEMP);
        delete @ENV{qw(LISTEN DATA HOSTS WORKERS)};
        $ENV{STATE} = $TEMP;
        open STDOUT, '>', "$TEMP/log" or die;
        open STDERR, '>&', \*STDOUT or die;
        exec @as, "$home/misc/run.sh" or POSIX::_exit(127);
    }

    # the group is there to be signalled
    sysread $ready, my $byte, 1;

    return $pid;
}


sub run {
    my ($home, @as) = @_;

    my $port = Analytics::Test::free_port();
    my $pid  = start($home, $port, @as);

    # "nginx -t" listens for a moment, too: only an answer tells

    my $up = wait_for(sub {
        return -1 if waitpid($pid, WNOHANG) == $pid;
        my $answer = eval { get($port, '/health') };
        return $answer && $answer->{status};
    });

    is $up, 200, 'it answers'
        or diag(Analytics::Test::read_file("$TEMP/log"));

    # questions, too, when the log has been read

    wait_for(sub { get($port, '/stats/total')->{status} != 503 }) if $up == 200;

    return ($pid, $port);
}


sub get {
    my ($port, $path, %more) = @_;

    my $client = Analytics::Client->new(port => $port);

    return $client->request('GET', $path, %more, close => 1);
}


# As a terminal does it for Ctrl-C: to the whole group.

sub stop {
    my ($pid, $early) = @_;

    kill 'INT', -$pid;

    my $ended = wait_for(sub { waitpid($pid, WNOHANG) == $pid });
    my $status = $? >> 8;

    ok $ended, 'Ctrl-C stops it';
    is $status, 0, 'cleanly' if $ended && !$early;

    # who was killed with it is a process until somebody has taken note

    ok wait_for(sub { !kill 0, -$pid }), 'no process is left';

    my @left = glob "$TEMP/nginx-analytics.*";
    is "@left", '', 'no file is left';
}


sub serves_everything {
    my ($port) = @_;

    my $page = get($port, '/', headers => ['Accept: text/html']);
    is $page->{status}, 200, 'the page';
    like $page->{body}, qr/<!doctype html>/i, 'is HTML';
    like $page->{headers}{'content-security-policy'}, qr/script-src 'self';/,
        'with a policy';

    my $welcome = get($port, '/',
        headers => ['Accept: application/json']);
    is $welcome->json->{links}{collect}, '/events/', 'a welcome as JSON';

    for my $path (qw(/docs /redoc /api/swagger /openapi.json /health
        /stats/total/ /vendor/d3.min.js /vendor/redoc.standalone.js
        /vendor/swagger-ui-bundle.js /vendor/swagger-ui.css /app.js))
    {
        is get($port, $path)->{status}, 200, $path;
    }
}


subtest 'from a home that workers cannot enter' => sub {
    my $home = home('closed');

    for my $time ('once', 'twice') {
        my ($pid, $port) = run($home);
        serves_everything($port) if $time eq 'once';
        stop($pid);
    }

    ok -d "$TEMP/nginx-analytics", 'the events are where workers can go';
};


subtest 'requests for a name that is not ours are dropped' => sub {
    my ($pid, $port) = run(home('names'));

    for my $host ('localhost', "127.0.0.1:$port") {
        my $answer = get($port, '/stats/total', host => $host);
        is $answer->{status}, 200, $host;
    }

    my $answer = eval { get($port, '/stats/total',
        host => 'rebind.example') };
    ok !$answer || !$answer->{status}, 'another name';

    stop($pid);
};


subtest 'Ctrl-C at any moment' => sub {
    my $home = home('early');

    for my $lines (0, 1, 5, 9) {
        my $port = Analytics::Test::free_port();
        my $pid  = start($home, $port);

        # at once, or when so many lines of the greeting are there

        wait_for(sub {
            my @there = Analytics::Test::read_file("$TEMP/log") =~ /\n/g;
            return @there >= $lines;
        });

        stop($pid, 1);
    }
};


SKIP: {
    my @as = ('setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups');

    skip 'only root can become somebody else', 1
        if $> != 0 || system("@as true 2>/dev/null") != 0;

    subtest 'as somebody who is not root' => sub {
        my $home = home('nobody');

        system('chown', '-R', 'nobody:nogroup', $home) == 0 or die;
        chmod 01777, $TEMP;

        my ($pid, $port) = run($home, @as);
        serves_everything($port);
        stop($pid);
    };
}

done_testing;
