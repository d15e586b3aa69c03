package Bench::Stored;

# Copyright (C) The nginx analytics authors

# The rows of zones with a log.

use strict;
use warnings;

use parent 'Bench::Rows';

use Bench::Events;
use Bench::Feed;
use Bench::Nginx;
use Bench::Process;
use Bench::Rows;
use Bench::Slices;
use HTTP::Tiny;
use Time::HiRes qw(sleep time);

# in this order
our @ROWS = qw(stored synced lists start checkpoint bytes);

use constant {
    FLUSHES  => 200,            # of the disk, in a slice of these
    WAITING  => 64,             # connections that may share one
    BACKLOG  => 10_000,         # lists of 1000 before a crash
    KNOWN    => 1_000_000,      # users of them
    STARTS   => 5,
    DUE      => 128 * 2**20,    # bytes of log, then a checkpoint is written
    FULL     => 1_300_000,      # users of a zone that is nearly full
    IDLE     => 2000,           # events posted one after the other
};


# One event a request, stored, against an nginx that reads and drops it.

sub stored {
    my ($self) = @_;

    my $ours = $self->ours({ stor => '128m' }, log => 'sync 1s;');

    return $self->post_against_bare($ours, 'stor',
        'POST of one event, stored, sync 1s', { floor => 0.75, aim => 0.88 });
}


# The same, answered when the disk has it.  All that wait share a flush: more
# than they all together in the time of one cannot be had.

sub synced {
    my ($self) = @_;

    my $ours = $self->ours({ sync => '128m' }, log => 'sync always;');
    my ($bare, $events) = $self->bare($ours, 'sync');

    my $what = 'POST of one event, stored, sync always, ' . WAITING
        . ' connections';
    my %arg  = (connections => WAITING, args => [$events]);

    my $result = measure($what, $self->{rounds},
        ours => $self->slice($ours, '/sync/events/', 'post.lua', %arg),
        disk => sub { $self->flushes },
        bare => $self->slice($bare, '/events/', 'post.lua', %arg));

    $ours->discard;
    $bare->stop;

    # the server waits for the disk
    delete $result->{ours}{busy};

    my ($flush, $mean) = map { 1000 * median(@{ $result->{disk}{$_} }) }
        'median', 'mean';
    my $slow  = median(@{ $result->{disk}{rate} })
        < median(@{ $result->{bare}{rate} });
    my $r     = ratio($result, 'ours', $slow ? 'disk' : 'bare', 'rate');

    return {
        what     => "$what, against "
            . ($slow ? WAITING . ' a flush' : 'bare nginx'),
        measured => sprintf('%.2f', $r->{ratio}),
        value    => $r->{ratio},
        floor    => 0.40, aim => 0.50,
        detail   => sprintf('%.2f to %.2f; %s/s; bare nginx %s/s; a flush of '
            . 'the disk takes %.2f ms, on average %.2f ms', @$r{qw(low high)},
            map({ Bench::Rows::rate(median(@{ $result->{$_}{rate} })) }
                'ours', 'bare'), $flush, $mean)
            . $self->check_load($what, $result),
    };
}


# A slice of the disk alone: what an fdatasync takes after a small append,
# where the log is.  Others that use the disk make some of them very long.

sub flushes {
    my ($self) = @_;

    my $said = run_process(sub {
        my $path = work_dir() . '/flushed';
        my ($sum, @took) = (0);

        open my $fh, '>>:raw', $path or die "$path: $!\n";

        for (1 .. FLUSHES) {
            my $since = time;

            syswrite $fh, 'x' x 200;
            flush_file($fh) or die "fdatasync: $!\n";

            push @took, time - $since;
        }

        unlink $path;

        $sum += $_ for @took;
        printf "FLUSH %.9f %.9f\n", median(@took), $sum / FLUSHES;
    }, cpus => [$self->{server}]);

    my ($median, $mean) = $said =~ /^FLUSH (\S+) (\S+)/m
        or die "flushing failed: $said\n";

    return { median => $median, mean => $mean, rate => WAITING / $median };
}


# Lists, stored, on one processor.  Each slice begins a new log, as it would
# fill the disk otherwise.

sub lists {
    my ($self) = @_;

    my $few  = lines_of_batches('few', 8, 1000);
    my $what = 'lists of 1000 events, stored, sync 1s, 1,000 users';
    my %arg  = (connections => 8, args => [$few]);

    my $memory = $self->ours({ some => '128m' });

    my $result = measure($what, $self->{rounds},
        stored => sub {
            my $ours  = $self->ours({ some => '128m' }, log => 'sync 1s;');
            my $slice = $self->slice($ours, '/some/events/', 'post.lua',
                %arg)->(@_);

            $ours->discard;
            return $slice;
        },
        memory => $self->slice($memory, '/some/events/', 'post.lua', %arg));

    $memory->stop;

    my $r = ratio($result, 'stored', 'memory', 'rate');
    my ($low, $rate, $high) = map { $_ / 1000 }
        quartiles(@{ $result->{stored}{rate} });

    return {
        what     => $what,
        measured => sprintf('%.2fM/s', $rate),
        value    => $rate,
        floor    => 1, aim => 2.5, unit => 'M/s',
        detail   => sprintf('%.2fM/s to %.2fM/s; %.2f of what is folded in '
            . 'memory alone; busy %.0f %%', $low, $high, $r->{ratio},
            100 * median(@{ $result->{stored}{busy} }))
            . $self->check_load($what, $result),
    };
}


# How soon after a crash the answers are there again, with as much log behind
# the last checkpoint as there may be.  It was read from memory: the system
# goes on.

sub start {
    my ($self) = @_;

    say_progress('making events of a million users');

    my $file = requests_of_batches('million', '/star/events/', 1000, KNOWN);
    my $ours = $self->ours({ star => '256m' }, log => 'sync 1s;');
    my $what = 'start with 10M events of 1M users after kill -9';
    my $sent = 0;

    my $send = sub {
        my ($n) = @_;

        feed(port => $ours->port, file => $file, cpus => [$self->{load}],
            count => $n, from => $sent);
        $sent += $n;
    };

    say_progress('filling zone star, 10 times');

    $send->(1000);

    my $list = $ours->get_json('/health')->{zones}{star}{log_bytes} / $sent;
    my $last = int 0.99 * DUE / $list;

    $send->(BACKLOG - $last - $sent);

    # an orderly end writes a checkpoint

    $ours->stop;
    $ours->launch;
    $self->wait_ready($ours, 'star');
    $send->($last);

    my ($behind) = $self->check_backlog($ours, 'star');
    my $times = $self->{rounds} < STARTS ? $self->{rounds} : STARTS;
    my @took;

    for my $i (1 .. $times) {
        say_progress("$what, round $i of $times");
        $ours->crash;
        push @took, $self->seconds_to_answer($ours, 'star', 1000 * $sent,
            KNOWN);
    }

    $ours->discard;

    return {
        what     => $what,
        measured => sprintf('%.2f s', median(@took)),
        value    => median(@took),
        floor    => 3, aim => 1, unit => ' s', less => 1,
        detail   => sprintf('%.2f s to %.2f s; %.0f MB of log behind the '
            . 'checkpoint, %.1fM events', (sort { $a <=> $b } @took)[0, -1],
            $behind / 2**20, $behind / $list / 1000),
    };
}


sub wait_ready {
    my ($self, $nginx, $zone) = @_;

    $nginx->is_up && wait_until(sub { $nginx->is_ready($zone) }, 60)
        or die "nginx did not start again:\n", read_file($nginx->log);
}


# A checkpoint is nearly due, and none was written since.

sub check_backlog {
    my ($self, $nginx, $zone) = @_;

    my $health = $nginx->get_json('/health')->{zones}{$zone};
    my $behind = $health->{log_bytes} - $health->{checkpoint_bytes};

    die "$behind bytes of log are behind the checkpoint\n"
        unless $health->{checkpoint_bytes} && $behind > 0.95 * DUE
            && $behind < DUE;

    return $behind;
}


# From the start of nginx to the first answer, which must be the right one.

sub seconds_to_answer {
    my ($self, $nginx, $zone, $events, $users) = @_;

    my $since = time;
    my $took;

    $nginx->launch;

    wait_until(sub {
        my $answer = HTTP::Tiny->new->get($nginx->url("/$zone/total"));

        $took = time - $since;
        return 1 if $answer->{status} == 200;

        # 599 is that nobody listens yet
        die "nginx answered $answer->{status}:\n$answer->{content}"
            unless $answer->{status} == 503 || $answer->{status} == 599;
        return 0;
    }, 60) or die "no answer in a minute:\n", read_file($nginx->log);

    $self->wait_ready($nginx, $zone);
    $self->check_total($nginx, $zone, $events, $users);

    return $took;
}


# Small requests while the zone is written down, again and again.  As with
# large lists, the server may use all processors and the load leaves it time.

sub checkpoint {
    my ($self) = @_;

    say_progress('making ' . FULL . ' users');

    my $file   = file_of_users('full', '/full/events/', FULL);
    my $events = lines_of_events('events', 10_000, Bench::Rows::USERS);
    my $what   = 'p99 of single POSTs while checkpoints of a full zone are '
        . 'written, against none';
    my $cpus   = [$self->{server}, $self->{load}];
    my %ours   = (
        while   => $self->full($file, 'checkpoint time=1s size=4k;'),
        without => $self->full($file, 'checkpoint time=24d size=1000g;'),
    );

    my $health = $ours{while}->get_json('/health')->{zones}{full};
    my @share;

    my %slice = map {
        my $name = $_;

        ($name => $self->slice($ours{$name}, '/full/events/', 'post.lua',
            connections => Bench::Rows::SMALL,
            args => [$events, Bench::Rows::PAUSE], cpus => $cpus));
    } keys %ours;

    my $result = measure($what, $self->{rounds},
        without => sub {
            my ($round) = @_;

            # none is left of the slice before
            wait_until(sub { !$self->is_writing($ours{while}) }, 60);

            return $self->without_others($ours{without}, $cpus,
                $slice{without}, $round);
        },
        while => sub {
            my ($round) = @_;

            $self->begin_checkpoint($ours{while});

            my $watch = $self->watch_checkpoints($ours{while});
            my $slice = $self->without_others($ours{while}, $cpus,
                $slice{while}, $round);

            push @share, $watch->() if $round;
            return $slice;
        });

    # the server need not be busy here
    delete $_->{busy} for values %$result;

    $_->discard for values %ours;

    my ($without, $while) = map { median(@{ $result->{$_}{p99} }) / 1000 }
        'without', 'while';

    return {
        what     => $what,
        measured => sprintf('%.2f times', $while / $without),
        value    => $while / $without,
        floor    => 2, aim => 1.1, unit => ' times', less => 1,
        detail   => sprintf('%.2f ms against %.2f ms; medians of all: %.2f '
            . 'and %.2f ms; one was under way %.0f %% of the time; %.0f MiB '
            . 'of %.0f MiB', $while, $without,
            map({ median(@{ $result->{$_}{p50} }) / 1000 } 'while', 'without'),
            100 * median(@share),
            map { $_ / 2**20 } @$health{qw(memory_used memory_size)})
            . $self->check_load($what, $result),
    };
}


sub full {
    my ($self, $file, $log) = @_;

    my $cpus = [$self->{server}, $self->{load}];
    my $ours = $self->ours({ full => '256m' }, log => "sync 100ms; $log",
        cpus => $cpus);

    say_progress('filling a zone with ' . FULL . ' users');

    feed(port => $ours->port, file => $file, cpus => $cpus);

    my $health = $ours->get_json('/health')->{zones}{full};

    die "$health->{users} users are in the zone\n"
        unless $health->{users} == FULL && $health->{exact};

    return $ours;
}


# What a checkpoint is for is posted, and one begun.

sub begin_checkpoint {
    my ($self, $nginx) = @_;

    my $events = '[' . join(',', map {
        sprintf '{"user_id":"%020d","event_type":"begin"}', $_
    } 1 .. 1000) . ']';

    $nginx->post('/full/events/', $events);

    wait_until(sub { $self->is_writing($nginx) }, 10)
        or die "no checkpoint was begun\n", read_file($nginx->log);
}


# Whether some process writes one, by the lock that it has then.

sub is_writing {
    my ($self, $nginx) = @_;

    my $inode = (stat $nginx->dir . '/full/lock.checkpoint')[1] // return 0;

    return read_file('/proc/locks') =~ /FLOCK .*:$inode 0 EOF$/m;
}


# Returns a function that says which share of the time one was under way.

sub watch_checkpoints {
    my ($self, $nginx) = @_;

    my $out = work_dir() . '/watched';
    my $pid = start_process(sub {
        my ($stop, $seen, $looked) = (0, 0, 0);
        local $SIG{TERM} = sub { $stop = 1 };

        until ($stop) {
            $looked++;
            $seen++ if $self->is_writing($nginx);
            sleep 0.05;
        }

        print "SEEN $seen of $looked\n";
    }, out => $out);

    return sub {
        end_process($pid, 'TERM');

        my ($seen, $looked) = read_file($out) =~ /^SEEN (\d+) of (\d+)/m
            or die "watching failed: " . read_file($out) . "\n";

        return $seen / $looked;
    };
}


# What a stored event takes in the log, beyond its own JSON.

sub bytes {
    my ($self) = @_;

    my $path   = lines_of_events('events', 10_000, Bench::Rows::USERS);
    my @events = split /\n/, read_file($path);
    my $file   = $self->address($self->preload, 'lots');
    my $ours   = $self->ours({ map { $_ => '128m' } qw(idle busy lots) },
        log => 'sync 1s;');
    my $http   = HTTP::Tiny->new(keep_alive => 1);

    my @row = (
        $self->bytes_row($ours, 'idle', 'one a request, one connection', sub {
            for my $event (@events[0 .. IDLE - 1]) {
                $http->post($ours->url('/idle/events/'), {
                    content => $event,
                    headers => { 'Content-Type' => 'application/json' },
                })->{success} or die "an event was refused\n";
            }
        }, @events[0 .. IDLE - 1]),

        $self->bytes_row($ours, 'busy', 'one a request, ' . WAITING
            . ' connections', sub {
            $self->slice($ours, '/busy/events/', 'post.lua',
                connections => WAITING, args => [$path])->(1);
        }, @events),

        $self->bytes_row($ours, 'lots', 'in lists of 1000', sub {
            feed(port => $ours->port, file => $file, count => 200,
                cpus => [$self->{load}]);
        }, @events),
    );

    $ours->discard;

    return @row;
}


# The events posted are, on average, of the lengths of these.

sub bytes_row {
    my ($self, $nginx, $zone, $how, $post, @events) = @_;

    say_progress("bytes of events, $how");

    my $stored = sub {
        return (log_bytes($nginx->dir . "/$zone"),
            $nginx->get_json('/health')->{zones}{$zone}{events});
    };

    my @before = $stored->();
    $post->();
    my @after  = $stored->();

    my ($json, $texts) = (0, 0);

    for my $event (@events) {
        my @text = $event =~
            /"user_id":"(.*?)","event_type":"(.*?)",.*"metadata":(\{.*\})\}$/
            or die "what event is $event?\n";

        $json  += length $event;
        $texts += length join '', @text;
    }

    $_ /= @events for $json, $texts;

    my $bytes = ($after[0] - $before[0]) / ($after[1] - $before[1]);

    return {
        what     => "a stored event beyond its own JSON, $how",
        measured => sprintf('%+.1f bytes', $bytes - $json),
        value    => $bytes - $json,
        floor    => 40, aim => 16, unit => ' bytes', less => 1,
        detail   => sprintf('%.1f bytes for %.1f of JSON, of which %.1f are '
            . 'the texts that are kept', $bytes, $json, $texts),
    };
}


sub log_bytes {
    my ($dir) = @_;

    my $bytes = 0;
    $bytes += -s for glob "$dir/*.log";

    return $bytes;
}


1;
