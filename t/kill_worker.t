# Copyright (C) The nginx analytics authors

# A worker that is killed, at any moment, loses nothing that was acknowledged
# and doubles nothing; the others go on.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep);

use Analytics::Load;
use Analytics::Test;

my $KILLS = 40;

my $nginx = Analytics::Test->new(types => 20)->expect_log(
    qr/\[alert\].*exited on signal 9/,
    qr/\[alert\].*zone .* was locked by/,
    qr/\[(?:warn|notice|error)\].*(?:rolled back|unfinished|killed)/,
)->start;

# 30 events in a list, of users and types that are all counted alike: what is
# folded of a list can be told by any of the figures

my $load = Analytics::Load->start(
    port => $nginx->port, connections => 12,
    body => sub {
        my ($n) = @_;
        return '[' . join(',', map {
            sprintf '{"user_id":"user %d","event_type":"type %d",'
                . '"timestamp":"2025-01-%02dT%02d:00:00Z"}',
                ($n + $_) % 200, $_ % 10, 1 + $_, $_ % 24
        } 0 .. 29) . ']';
    },
);

ok wait_for(sub { $nginx->json('/stats/total')->{total_events} > 1000 }),
    'the load has begun';

my $served = 0;

for my $n (1 .. $KILLS) {
    my @workers = $nginx->workers;
    my $victim  = $workers[ rand @workers ] // next;

    # a moment that is not always the same
    sleep rand 0.02;

    kill 'KILL', $victim;

    wait_for(sub {
        my @now = $nginx->workers;
        return @now == 2 && !grep { $_ == $victim } @now;
    }) or last;

    $served++;
}

is $served, $KILLS, 'every worker that was killed had a successor';

my $client = $nginx->connect;

is $client->request(GET => '/health')->{status}, 200, 'the service goes on';

my $total = $nginx->json('/stats/total')->{total_events};

ok wait_for(sub { $nginx->json('/stats/total')->{total_events} > $total }),
    'so does the load';

my $count = $load->stop;

# a worker may still fold what nobody waits for

my $last = -1;

wait_for(sub {
    $total = $nginx->json('/stats/total')->{total_events};

    my $same = $total == $last;

    $last = $total;

    return $same;
});

note explain $count;

is_json $count->{other}, '{}', 'no request was refused';
cmp_ok $total, '>=', 30 * $count->{acknowledged},
    'what was acknowledged is counted';
cmp_ok $total, '<=', 30 * ($count->{acknowledged} + $count->{lost}),
    'nothing is counted twice';

my %sum;

$sum{types} += $_->{count} for @{ $nginx->json('/stats/by-event-type') };
$sum{users} += $_->{count} for @{ $nginx->json('/stats/by-user?limit=1000') };
$sum{days}  += $_->{count} for @{ $nginx->json('/stats/over-time?'
    . 'start=2025-01-01&end=2025-01-31') };
$sum{hours} += $_->{count} for @{ $nginx->json('/stats/over-time?'
    . 'start=2025-01-01&end=2025-01-31&interval=hour') };

for my $n (0 .. 199) {
    my $user = $nginx->json("/stats/user-activity/user%20$n");
    my $types = 0;

    $types += $_->{count} for @{ $user->{events_by_type} };

    $sum{each} += $types;
    $sum{torn}++ if $types != $user->{total_events};
}

is_json \%sum, { map { $_ => $total } qw(types users days hours each) },
    'every figure tells of the same events';
is $nginx->json('/stats/total')->{unique_users}, 200, 'users are counted once';
is_json $nginx->json('/health')->{zones}{site}{exact}, 'true',
    'and all of it is exact';

$nginx->stop;
done_testing;
