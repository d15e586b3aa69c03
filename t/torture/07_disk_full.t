# Copyright (C) The nginx analytics authors

# A disk that is full, or fails, at every call that touches it: while it lasts
# what cannot be stored is refused with 503 and Retry-After, and not counted;
# once it is over the service goes on by itself.

use strict;
use warnings;

use Errno qw(EACCES EIO EMFILE ENOSPC EROFS);
use Test::More;
use Time::HiRes qw(sleep);

use Analytics::Disk;
use Analytics::Test;
use Analytics::Torture;

# What is mounted in a namespace of our own is gone when we are.

if ($> == 0 && !$ENV{ANALYTICS_NAMESPACE}
    && system('unshare -m true 2>/dev/null') == 0)
{
    $ENV{ANALYTICS_NAMESPACE} = 1;
    exec 'unshare', '-m', $^X, (map { "-I$_" } @INC), $0
        or die "unshare: $!\n";
}

my @MESSAGES = (
    qr/analytics zone "site"/,
    qr/\[(?:emerg|crit|alert|error)\].*(?:failed|No space left)/,
);

my $EVENT = '{"user_id":"one","event_type":"by hand"}';


# Waits until events are taken again.

sub taken {
    my ($nginx) = @_;

    return wait_for(sub {
        my $answer = eval { $nginx->post('/events/', $EVENT) };
        return $answer && $answer->{status} == 201;
    });
}


sub refused {
    my ($nginx) = @_;

    my $answer;

    my $ok = wait_for(sub {
        $answer = eval { $nginx->post('/events/', $EVENT) };
        return $answer && $answer->{status} == 503;
    });

    return $ok ? $answer : undef;
}


# Other events than those of senders are not theirs.

sub settle {
    my ($nginx, $name, @senders) = @_;

    my $options = @senders && ref $senders[-1] eq 'HASH' ? pop @senders : {};

    return $nginx->settle($name, @senders, { refusals => 1,
        others => sub { $_[0]{type} eq 'by hand' }, %$options });
}


subtest 'a small disk' => sub {
    my $nginx = Analytics::Torture->new(zone => '8m',
        log => 'segment 64k; checkpoint size=256k time=1s;')
        ->expect_log(@MESSAGES);
    my $data = $nginx->data;

    mkdir $data;

    plan skip_all => 'nothing can be mounted'
        unless $ENV{ANALYTICS_NAMESPACE} && system('mount', '-t', 'tmpfs',
            '-o', 'size=1m,mode=0700', 'none', $data) == 0;

    eval {
        $nginx->start;

        my $sender = $nginx->sender(clients => 4, pause => 0.005)->start;

        for my $round (1 .. (long() ? 10 : 3)) {
            my $answer = refused($nginx) or die "it never got full\n";

            is_problem $answer, 503, undef, 'it is full';
            like $answer->header('retry-after'), qr/^\d+$/, 'come back later';
            is $nginx->get('/stats/total')->{status}, 200,
                'questions are answered';

            # they would fill it before it is looked at
            $sender->stop;

            system('mount', '-o', 'remount,size=' . (1 + $round) . 'm', $data)
                == 0 or die "no remount\n";

            ok taken($nginx), 'there is room again: events are taken';

            $sender->start;
        }

        $sender->stop;
        settle($nginx, 'the accounts', $sender);

        # full when it starts, too

        $nginx->kill_at_once;
        system("cat /dev/zero > $data/ballast 2> /dev/null");
        $nginx->set(wait => 0);
        ok $nginx->try_start, 'it starts on a full disk';

        my $answer = refused($nginx);

        ok $answer, 'events are refused' and
            is_problem $answer, 503, undef, 'they may come back';

        unlink "$data/ballast";
        ok taken($nginx), 'there is room again: events are taken';
        ok $nginx->ready, 'the zone is ready';
        settle($nginx, 'and again', $sender);

        $nginx->stop;
        1;
    } or fail $@;

    $nginx->kill_all;
    system('umount', '-l', $data);
};


# From here on a preloaded library lets calls fail.

if (!Analytics::Disk::available()) {
    note 'no ' . Analytics::Disk::library();
    done_testing;
    exit;
}


sub failing {
    my ($log, %arg) = @_;

    my $nginx = Analytics::Torture->new(zone => '4m', workers => 1,
        log => $log, %arg)->expect_log(@MESSAGES);
    my $disk  = Analytics::Disk->new(folder => $nginx->data,
        base => $nginx->dir . '/disk');

    $nginx->set($disk->environment);

    return ($nginx, $disk);
}


my @CALLS = qw(open create write truncate sync rename);


# Which calls are to fail: the first ones and, in the short form, some of the
# others.

sub calls {
    my ($most) = @_;

    return grep { long() || $_ <= 4 || rand() < 0.25 } 1 .. $most;
}


# Each call that serving brings about fails, once or until it is mended.

sub each_call {
    my ($sync, $times) = @_;

    subtest "sync $sync: each call fails" . ($times == 1 ? ' once' : '') => sub {
        my ($nginx, $disk) = failing(
            "sync $sync; segment 4k; checkpoint size=1g time=1h;");

        $nginx->start;

        my $sender = $nginx->sender(clients => 2, requests => 5, sizes =>
            [ [ 3, 1, 1, 0 ], [ 2, 5, 30, 100 ], [ 1, 40, 60, 0 ] ]);
        my ($n, $wrong, %failed) = (0, 0);

        for my $kind (@CALLS, long() ? 'any' : ()) {
            my $kinds = $kind eq 'any' ? \@CALLS : [$kind];

            # a failed sync is tried again after a second

            for my $from (calls(long() || $kind !~ /open|sync/ ? 40 : 5)) {
                $disk->fail(kinds => $kinds, from => $from,
                    times => $times, half => $from % 2,
                    error => $kind eq 'sync' ? EIO
                        : (ENOSPC, EIO, EROFS)[$from % 3]);

                $sender->start(port => $nginx->port)->finish;

                # what nobody waits for comes by itself

                wait_for(sub { $disk->failed })
                    if $kind eq 'sync' && $from == 1 && $sync ne 'off';

                my $failed = $disk->failed;

                $disk->heal;

                if (!taken($nginx)) {
                    fail "$kind, the call number $from: it stays out of order";
                    last if ++$wrong > 2;
                }

                last unless $failed;

                $failed{$kind}++;
                $n++;
            }
        }

        is $wrong, 0, "$n failures: each time it goes on by itself";
        cmp_ok $failed{$_} // 0, '>', 0, "of $_"
            for qw(create write), $sync eq 'off' ? () : 'sync';
        settle($nginx, 'the accounts', $sender);

        # what was written holds

        $nginx->kill_at_once->restart;
        settle($nginx, 'the accounts after a restart', $sender);
        $nginx->stop;
    };
}


each_call('always', 1);
each_call('1s', 1000000);

if (long()) {
    each_call('always', 1000000);
    each_call('1s', 1);
    each_call('off', 1);
}


# Each call that a checkpoint brings about fails: it begins with a sync, which
# is held until the log has nothing to do.

subtest 'each call of a checkpoint fails' => sub {
    my ($nginx, $disk) = failing(
        'sync 100ms; segment 64m; checkpoint size=4k time=1h;');
    my ($posted, @wrong, %failed) = (0);

    # enough to be due for the next one

    my $list = '[' . join(',', map {
        $EVENT =~ s/\}$/,"metadata":{"pad":"@{[ 'x' x 60 ]}"}}/r
    } 1 .. 100) . ']';


    my $post = sub {
        my $answer = eval { $nginx->post('/events/', $list) };

        $posted += 100 if $answer && $answer->{status} == 201;
    };

    my $newest = sub {
        return (sort map { /(\d+)\.checkpoint$/ }
            glob $nginx->data . '/*.checkpoint')[-1] // '';
    };

    $nginx->start;

    # One that is on its way already passes by: then it is the next one's turn.

    my $round = sub {
        my ($kind, $from) = @_;
        my $before = $newest->();

        $disk->hold;
        $post->() for 1 .. 3;
        wait_for(sub { $disk->held }) or push @wrong, 'no sync';

        $disk->fail(kinds => [$kind], from => $from, times => 1,
            half => $from % 2, error => $kind eq 'sync' ? EIO
                : (ENOSPC, EIO)[$from % 2]);
        $disk->release;

        wait_for(sub { $disk->failed || $newest->() ne $before });

        # the next one

        wait_for(sub { $post->(); $newest->() ne $before })
            or push @wrong, "$kind, the call number $from: none is written";

        my $hit = $disk->failed;

        $disk->heal;
        $failed{$kind} += $hit;

        return $hit;
    };

    for my $kind (qw(open create write sync rename),
        long() ? qw(truncate unlink) : ())
    {
        for my $from (1 .. (long() ? 12 : $kind eq 'sync' ? 2 : 1)) {
            for (1 .. 5) {
                last if $round->($kind, $from) || @wrong;
            }
        }
    }

    ok !@wrong, 'the next one is written' or diag join "\n", @wrong;
    cmp_ok $failed{$_} // 0, '>', 0, "of $_"
        for qw(open create write sync rename);

    $nginx->kill_at_once->restart;
    is $nginx->json('/stats/total')->{total_events}, $posted,
        'and tells no other total';
    settle($nginx, 'the accounts');
    $nginx->stop;
};


# Who leaves syncs, which fails: who stays is not to wait for his next turn.

subtest 'sync 1h: a failed sync is tried again soon' => sub {
    my ($nginx, $disk) = failing('sync 1h; checkpoint size=1g time=1h;');

    $nginx->start;
    is $nginx->post('/events/', $EVENT)->{status}, 201, 'it serves';

    $disk->fail(kinds => ['sync'], times => 1, error => EIO);
    ok $nginx->reload, 'another worker comes';
    ok wait_for(sub { $disk->failed }), 'a sync fails';
    ok taken($nginx), 'events are taken again';

    settle($nginx, 'the accounts');
    $nginx->stop;
};


# Each call of a start fails.

sub each_start {
    my ($name, %arg) = @_;

    subtest $name => sub {
        my ($nginx, $disk) = failing(
            'sync always; segment 4k; checkpoint size=4k time=1s;');
        my ($started, $n) = (0, 0);

        $nginx->start;
        is $nginx->post('/events/', $EVENT)->{status}, 201, 'it serves'
            for 1 .. 3;
        $nginx->kill_at_once->set(wait => 0);

        for my $from (calls(200)) {
            unlink glob $nginx->data . '/*' if $arg{empty};

            $disk->fail(kinds => [ @CALLS, 'mkdir', 'unlink' ], from => $from,
                times => $from % 2 ? 1 : 1000000,
                error => (EIO, ENOSPC, EACCES, EMFILE)[$from % 4]);

            my $log = length $nginx->error_log;
            my $up  = eval { $nginx->try_start };
            my $failed = $disk->failed;

            # it may not start, if it says why

            if (!$up) {
                like substr($nginx->error_log, $log),
                    qr/\[(?:emerg|alert|crit)\].*data/, "call $from: it says why";
                $disk->heal;
                $up = $nginx->try_start or last;
            }

            my $answer = eval { $nginx->post('/events/', $EVENT) };

            $failed += $disk->failed if $up;

            ok $answer && $answer->{status} =~ /^(201|503)$/,
                "call $from: it answers" or diag $answer && $answer->{line};

            $disk->heal;

            ok $nginx->ready, "call $from: it gets ready by itself" or last;
            ok taken($nginx), "call $from: events are taken" or last;
            $nginx->kill_at_once;

            $n++ if $failed;
            $started = $from;
            last unless $failed;
        }

        cmp_ok $n, '>', 3, "$n calls failed";

        $nginx->try_start;
        $nginx->ready;

        # without its control file the log goes on as after a power cut

        settle($nginx, 'the accounts', { gaps => 1 });
        $nginx->stop;
    };
}


each_start('a start in a new folder', empty => 1);
each_start('a start with a log');


# What a checkpoint alone still knows is not given up when files cannot be
# opened for a moment: neither by who starts nor by who writes the next one.

subtest 'a log that has lost its beginning' => sub {
    my ($nginx, $disk) = failing('segment 4k; checkpoint size=8k time=1s;');
    my ($data, $n) = ($nginx->data, 0);

    my $checkpoints = sub {
        return map { /(\d+)\.checkpoint$/ } sort glob "$data/*.checkpoint";
    };

    # Returns whether one more is written.

    my $written = sub {
        my $newest = ($checkpoints->())[-1] // '';

        return wait_for(sub {
            my $answer = eval { $nginx->post('/events/', $EVENT) };

            $n++ if $answer && $answer->{status} == 201;

            return (($checkpoints->())[-1] // '') ne $newest;
        });
    };

    $nginx->start;

    # two that have segments behind them

    ok wait_for(sub {
        return $written->() && 1 < grep { $_ > 8192 } $checkpoints->();
    }), 'checkpoints';

    $nginx->kill_at_once->set(wait => 0);

    unlink map { "$data/$_.checkpoint" } grep { $_ <= 8192 } $checkpoints->();

    # those between the oldest and the newest are not needed

    my ($oldest) = $checkpoints->();

    for my $file (sort glob "$data/*.log") {
        my ($end) = $file =~ /(\d+)\.log$/;

        unlink $file if $end + (-s $file) <= $oldest;
    }

    cmp_ok scalar @{ $nginx->log->{events} }, '<', $n, 'some are in it alone';

    my ($failed, @wrong) = (0);

    for my $from (calls(100)) {
        $disk->fail(kinds => ['open'], from => $from, times => 1,
            error => EMFILE);
        $nginx->try_start or push @wrong, "call $from: it does not start";

        $nginx->ready or push @wrong, "call $from: it does not get ready";

        my $hit = $disk->failed;

        $disk->heal;

        my $total = $nginx->json('/stats/total')->{total_events};

        push @wrong, "call $from: $total, not $n" if $total != $n;

        $nginx->kill_at_once;
        $hit ? $failed++ : last;
        last if @wrong;
    }

    ok !@wrong, "each of $failed files cannot be opened at a start"
        or diag join "\n", @wrong;
    cmp_ok $failed, '>', 3, 'they are some';

    $nginx->set(wait => 1)->restart;

    for my $from (1 .. (long() ? 30 : 3)) {
        $disk->fail(kinds => ['open'], from => $from, times => 1,
            error => EMFILE);
        ok $written->(), "call $from: a checkpoint is written" or last;
        $disk->heal;
    }

    $nginx->kill_at_once->restart;
    is $nginx->json('/stats/total')->{total_events}, $n,
        'and has all that the ones before it had';

    # nor is what they knew given up when they are taken away

    my $log = length $nginx->error_log;

    ok wait_for(sub {
        unlink glob "$data/*.checkpoint";
        $nginx->post('/events/', $EVENT)->{status} == 201 and $n++;
        return substr($nginx->error_log, $log)
            =~ /no checkpoint was written: there is none to start from/;
    }), 'without them none is written of what is left of the log';

    $nginx->stop;
    is scalar $checkpoints->(), 1, 'but of the zone, when nginx ends';
    $nginx->restart;
    is $nginx->json('/stats/total')->{total_events}, $n, 'which has all';
    ok $written->(), 'and from which it goes on';
    $nginx->stop;
};


subtest 'a disk that fails now and then, under load' => sub {
    my ($nginx, $disk) = failing(
        'sync 100ms; segment 16k; checkpoint size=64k time=1s;', workers => 2,
        zone => '8m');

    $nginx->start;

    my $sender = $nginx->sender(clients => 4, pause => 0.01)->start;

    for my $round (1 .. (long() ? 100 : 15)) {
        $disk->fail(kinds => [ $CALLS[rand @CALLS], $CALLS[rand @CALLS] ],
            from => 1 + int rand 5, times => $round % 2 ? 1 : 1000000,
            error => (EIO, ENOSPC)[rand 2], half => $round % 3 == 0);

        sleep 0.2;

        $disk->heal;
        ok taken($nginx), 'it goes on' or last;
    }

    $sender->stop;
    settle($nginx, 'the accounts', $sender);
    $nginx->kill_at_once->restart;
    settle($nginx, 'the accounts after a restart', $sender);
    $nginx->stop;
};


subtest 'a folder that may not be written to' => sub {
    my $nginx = Analytics::Torture->new(workers => 1,
        log => 'segment 4k; checkpoint size=1g time=1h;')
        ->expect_log(@MESSAGES)->start;
    my @stat  = stat $nginx->data;

    # for whoever is not root

    plan skip_all => 'root may write anywhere'
        if $> == 0 && !Analytics::Test->user;

    chown 0, 0, $nginx->data if $> == 0;
    chmod 0555, $nginx->data;

    ok refused($nginx), 'the next segment cannot be made: 503';

    chown @stat[4, 5], $nginx->data if $> == 0;
    chmod 0700, $nginx->data;

    ok taken($nginx), 'then it can, and the service goes on';
    settle($nginx, 'the accounts');
    $nginx->stop;
};


done_testing;
