# Copyright (C) The nginx analytics authors

# While a zone is read from its log: how far it is can be seen, events are
# taken, and questions are told to come back.  Then all of it is counted.

use strict;
use warnings;

use Test::More;

use Analytics::Fault;
use Analytics::Test;
use Analytics::Torture;

plan skip_all => 'no module with fault points'
    unless Analytics::Fault::available();

# connections come to the worker that goes on

my $nginx = Analytics::Torture->new(listen => '', id => 1,
    log => 'segment 16k; checkpoint size=1g time=1h;');
my $fault = Analytics::Fault->new($nginx->dir . '/fault');
my $count = 0;


sub event {
    my ($n, $more) = @_;

    return "{\"user_id\":\"u$n\",\"event_type\":\"t" . $n % 3 . '"'
        . ($more // '') . '}';
}


sub posted {
    my ($name, $n, $body, %arg) = @_;

    is $nginx->post('/events/', $body, %arg)->{status}, 201, $name;
    $count += $n;
}


$nginx->set($fault->environment)->start;

posted('stored', 20, '[' . join(',', map { event($_) } 1 .. 20) . ']')
    for 1 .. 50;

$nginx->kill_at_once->set(wait => 0);
$fault->arm('recovery');

ok $nginx->try_start, 'it starts';

my $pid = $fault->stopped($nginx, 'recovery');

ok $pid, 'who reads the log is stopped';


subtest 'how far it is' => sub {
    my $answer = $nginx->get('/health');
    my $health = $answer->json;
    my $before = $health->{zones}{site};

    is $answer->{status}, 200, 'it can do its work';
    is $health->{status}, 'recovering', 'it is recovering';
    is $before->{state}, 'recovering', 'the zone is';
    cmp_ok $before->{recovered_bytes}, '<', $before->{recovery_bytes},
        "$before->{recovered_bytes} bytes of $before->{recovery_bytes}";

    $fault->arm('recovery');
    kill 'CONT', $pid;
    is $fault->stopped($nginx, 'recovery'), $pid, 'it is stopped again';

    my $after = $nginx->health;

    is $after->{state}, 'recovering', 'it goes on';
    cmp_ok $after->{recovered_bytes}, '>', $before->{recovered_bytes},
        "$after->{recovered_bytes} bytes";
};


subtest 'questions' => sub {
    for my $path ('/stats/total', '/stats/by-event-type', '/stats/by-user',
        '/stats/over-time?start=2025-01-01&end=2025-01-02',
        '/stats/recent-activity', '/stats/user-activity/u1', '/usage-summary')
    {
        my $answer = $nginx->get($path);

        is_problem $answer, 503, undef, "$path is not answered";
        like $answer->header('retry-after'), qr/^\d+$/, 'come back later';
    }
};


my @keyed = (
    [ event(1), headers => ['Idempotency-Key: k'] ],
    [ event(2, ',"message_id":"m"') ],
);

subtest 'events' => sub {
    posted('are taken', 1, event(21));
    posted('lists, too', 20, '[' . join(',', map { event($_) } 1 .. 20) . ']');

    # in slices, by a thread

    my $pad = ',"metadata":{"x":"' . 'x' x 900 . '"}';

    posted('and large ones', 1500, '[' . join(',', map {
        event($_ % 30, $pad)
    } 1 .. 1500) . ']');

    for (@keyed) {
        my $answer = $nginx->post('/events/', @$_);

        is_problem $answer, 503, qr/recovering/,
            'whether it was there before is not known';
        like $answer->header('retry-after'), qr/^\d+$/, 'come back later';
    }
};


kill 'CONT', $pid;
ok $nginx->ready, 'it is read';

is $nginx->json('/stats/total')->{total_events}, $count,
    "what was stored meanwhile is counted: $count";

for (@keyed) {
    posted('with keys', 1, @$_);
    posted('and again', 0, @$_);
}

is $nginx->json('/stats/total')->{total_events}, $count, 'counted once';

$nginx->settle('the accounts');
$nginx->stop;

done_testing;
