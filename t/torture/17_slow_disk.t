# Copyright (C) The nginx analytics authors

# A disk that takes its time: with "sync always" requests wait for it, but
# nobody else does.

use strict;
use warnings;

use Fcntl qw(LOCK_EX LOCK_UN);
use IO::Socket::INET;
use Test::More;

use Analytics::Client;
use Analytics::Disk;
use Analytics::Test;
use Analytics::Torture;

plan skip_all => 'no ' . Analytics::Disk::library()
    unless Analytics::Disk::available();

my $EVENT = '{"user_id":"a","event_type":"b"}';

# who never answers: nginx gives up waiting for him after a while

my $mute = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1',
    LocalPort => 0) or die "no port: $@\n";

# one worker: all that is asked for comes to the same event loop

my $nginx = Analytics::Torture->new(workers => 1,
    log => 'sync always; segment 64k; checkpoint size=1g time=1h;',
    http => 'analytics_zone other 1m { }',
    locations => <<"CONF")->expect_log(qr/upstream timed out/);
        location = /other/     { analytics_collect other format=event; }
        location = /in-a-while {
            proxy_pass          http://127.0.0.1:@{[ $mute->sockport ]};
            proxy_read_timeout  50ms;
            error_page          504 = /stats/total;
        }
CONF
my $disk = Analytics::Disk->new(folder => $nginx->data,
    base => $nginx->dir . '/disk');

$nginx->set($disk->environment)->start;


# Sends without waiting for the answer.

sub ask {
    my ($body) = @_;

    my $client = $nginx->connect;

    $client->send_raw(Analytics::Client::format_request('POST', '/events/',
        type => 'application/json', body => $body));

    return $client;
}


sub answered {
    return grep { $_->fill(0) || $_->{eof} } @_;
}


my $events = 0;

subtest 'while nothing is synced' => sub {
    $disk->hold;

    # of the event loop, of a thread, and more than one of each

    my @waiting = map { ask($_) } ($EVENT) x 3, ('[' . join(',', map {
        '{"user_id":"a","event_type":"b","metadata":{"x":"' . 'x' x 900 . '"}}'
    } 1 .. 1000) . ']') x 2;

    $events += 3 + 2 * 1000;

    ok wait_for(sub { $disk->held }), 'a sync is under way';
    ok wait_for(sub {
        $nginx->json('/stats/total')->{total_events} == $events
    }), 'what is to be stored is counted';

    for (1 .. 20) {
        is $nginx->post('/other/', $EVENT)->{status}, 201,
            'a zone without a log takes events' or last;
        is $nginx->get($_)->{status}, 200, "$_ is answered"
            for '/stats/total', '/stats/by-user', '/usage-summary', '/health';

        push @waiting, ask($EVENT);
        $events++;
    }

    ok wait_for(sub {
        $nginx->json('/stats/total')->{total_events} == $events
    }), 'more comes in';

    my $health = $nginx->health;

    cmp_ok $health->{synced_bytes}, '<', $health->{log_bytes},
        'it is not on the disk';
    is scalar answered(@waiting), 0, 'and nobody is told so';

    $disk->release;

    is_deeply [ grep { $_->response('POST')->{status} != 201 } @waiting ], [],
        'when it is, all are';
};


# The order of timers tells: one of the event loop's that is started when the
# log is free again, and ends a while later.

subtest 'who waits until he may append does not wait for a sync' => sub {
    open my $lock, '+<', $nginx->data . '/control' or die "control: $!\n";

    my @late;

    for my $round (1 .. 10) {
        $disk->hold;

        my @waiting = ask($EVENT);

        $events++;

        ok wait_for(sub { $disk->held }), 'a sync is under way';

        flock $lock, LOCK_EX or die "flock: $!\n";

        push @waiting, ask($EVENT);

        # this turn of the event loop, or one before, has the second one

        $nginx->get('/stats/by-user');
        flock $lock, LOCK_UN;

        my $total = $nginx->json('/in-a-while')->{total_events};

        $events++;
        push @late, "round $round: $total, not $events" if $total != $events;

        $disk->release;

        is $_->response('POST')->{status}, 201, 'acknowledged' for @waiting;
    }

    is_deeply \@late, [], 'it was appended before a timer that came later';
};


$nginx->settle('the accounts');
$nginx->stop;

done_testing;
