# Copyright (C) The nginx analytics authors

# Whatever strangers choose, the zone stays within its bounds, never fails a
# request for lack of room, and says where it is no longer exact.

use strict;
use warnings;

use POSIX qw(floor);
use Test::More;
use Time::HiRes qw(time);

use Analytics::Load;
use Analytics::Oracle;
use Analytics::Test;

my $SMALL = '1m';


sub events {
    my ($n, $user, $type, $time) = @_;

    return map {
        sprintf '{"user_id":"%s","event_type":"%s","timestamp":"%s"}',
            $user->($_), $type->($_),
            Analytics::Oracle::instant($time ? $time->($_) : 1759536000)
    } 0 .. $n - 1;
}


# Posts events in lists over several connections; returns how many lists got
# another answer than 201.

sub post_all {
    my ($nginx, @events) = @_;

    my $refused = 0;

    Analytics::Load::run(
        port        => $nginx->port,
        connections => 4,
        next        => sub {
            my @list = splice @events, 0, 500 or return undef;

            return Analytics::Client::format_request('POST', '/events/',
                type => 'application/json',
                body => '[' . join(',', @list) . ']');
        },
        done => sub { $refused++ if $_[0]{status} != 201 },
        lost => sub { $refused++ },
    );

    return $refused;
}


sub inexact {
    my ($answer, $what) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is $answer->{status}, 200, "$what is answered";
    like $answer->header('x-analytics-exact') // 'none', qr/^false(?:;|$)/,
        "$what says that it is not exact";
}


sub exact {
    my ($answer, $what) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is $answer->{status}, 200, "$what is answered";
    is $answer->header('x-analytics-exact'), undef, "$what is exact";
}


subtest 'full of users' => sub {
    my $nginx = Analytics::Test->new(zone => $SMALL, types => 4)->start;

    # some are really active, before and after the crowd

    my @active = events(1000, sub { 'active ' . $_[0] % 10 },
        sub { 'type ' . $_[0] % 3 });

    is post_all($nginx, @active), 0, 'ten active users';
    exact $nginx->get('/stats/total'), 'total';

    my $crowd = 60_000;

    is post_all($nginx, events($crowd, sub { "one of a crowd: $_[0]" },
        sub { 'type ' . $_[0] % 3 })), 0, 'a crowd: no request fails';
    is post_all($nginx, @active), 0, 'and the active ones go on';

    my $answer = $nginx->get('/stats/total');
    my $total  = $answer->json;

    is $total->{total_events}, $crowd + 2000, 'every event is counted';
    is $total->{unique_event_types}, 3, 'so is every type';
    inexact $answer, 'the total';

    # 16384 registers: 0.8 % standard error, five of them are 4 %

    my $distinct = $crowd + 10;

    cmp_ok abs($total->{unique_users} - $distinct), '<', $distinct * 0.05,
        "$total->{unique_users} users are about $distinct";
    like $answer->header('x-analytics-exact'), qr/\d/, 'its error is told';

    is_json $nginx->get('/stats/by-user?limit=10'),
        [ map { { user_id => "active $_", count => 200 } } 0 .. 9 ],
        'the most active never leave';
    is $nginx->json("/stats/user-activity/active%20$_")->{total_events}, 200,
        "nor does what is known of active $_" for 0, 9;

    inexact $nginx->get('/stats/by-user?limit=1000'), 'a list of users';
    exact $nginx->get('/stats/by-event-type'), 'the count by type';
    exact $nginx->get('/stats/over-time?days=1'), 'the count by day';

    my $health = $nginx->json('/health');

    is $health->{status}, 'ok', 'it is healthy';
    is_json $health->{zones}{site}{exact}, 'false', 'and says that it is full';
    cmp_ok $health->{zones}{site}{memory_used}, '<=',
        $health->{zones}{site}{memory_size}, 'within its memory';
    is $health->{zones}{site}{events}, $crowd + 2000, 'health counts them all';

    is $nginx->json('/usage-summary')->{total_events}, $crowd + 2000,
        'the summary does';
    inexact $nginx->get('/usage-summary'), 'the summary';

    unlike $nginx->error_log, qr/no memory|could not allocate/i,
        'no room is not an error';

    ok $nginx->reload, 'reload';
    is $nginx->json('/stats/total')->{total_events}, $crowd + 2000,
        'and all of it stays';

    $nginx->stop;
};


subtest 'full of types' => sub {
    my $nginx = Analytics::Test->new(types => 4)->start;

    is post_all($nginx, events(400, sub { "user $_[0]" },
        sub { 'type ' . $_[0] % 4 })), 0, 'as many as may be';

    exact $nginx->get('/stats/by-event-type'), 'the count by type';
    is scalar @{ $nginx->json('/stats/by-event-type') }, 4, 'each of them';

    is post_all($nginx, events(3000, sub { "user $_[0]" },
        sub { "another type $_[0]" })), 0, 'many more: no request fails';

    my $answer = $nginx->get('/stats/by-event-type');

    is_json $answer, '[{"event_type":"other","count":3000},'
        . join(',', map { "{\"event_type\":\"type $_\",\"count\":100}" } 0 .. 3)
        . ']', 'beyond the maximum they are "other"';
    inexact $answer, 'the count by type';

    is $nginx->json('/stats/total')->{total_events}, 3400, 'all are counted';
    is $nginx->json('/stats/total')->{unique_users}, 3000, 'with their users';
    inexact $nginx->get('/stats/total'), 'the number of types';
    exact $nginx->get('/stats/by-user'), 'the count by user';

    $answer = $nginx->get('/stats/user-activity/user%200');

    is_json $answer->json->{events_by_type},
        '[{"event_type":"other","count":1},{"event_type":"type 0","count":1}]',
        'a user has them as "other", too';
    inexact $answer, 'a user with "other" types';

    is_json $nginx->json('/health')->{zones}{site}{exact}, 'false',
        'health says that it is not exact';

    # one that is called so is no other than they are

    is post_all($nginx, events(10, sub { 'u' }, sub { 'other' })), 0,
        'events of the type "other"';

    my @others = grep { $_->{event_type} eq 'other' }
        @{ $nginx->json('/stats/by-event-type') };

    is_json \@others, '[{"event_type":"other","count":3010}]',
        'are among them';

    $nginx->stop;
};


subtest 'hostile times, all of time kept' => sub {
    my $nginx = Analytics::Test->new(zone => $SMALL, types => 4)->start;

    my $span = floor(time / 3600);
    my $n    = 40_000;

    # an hour of its own for each of them, from 1970 until now

    is post_all($nginx, events($n, sub { 'u' . $_[0] % 10 },
        sub { 't' . $_[0] % 4 },
        sub { floor($_[0] * $span / $n) * 3600 })), 0, 'no request fails';

    is $nginx->json('/stats/total')->{total_events}, $n, 'all are counted';
    is $nginx->json('/health')->{zones}{site}{events}, $n, 'health says so';

    my $sum = 0;

    $sum += $_->{count} for @{ $nginx->json('/stats/by-event-type') };
    is $sum, $n, 'by type';

    my $health = $nginx->json('/health')->{zones}{site};

    cmp_ok $health->{memory_used}, '<=', $health->{memory_size},
        'within its memory';

    my $old = $nginx->get('/stats/over-time?start=1980-01-01&end=1980-01-31');
    my $in_month = grep {
        my $t = floor($_ * $span / $n) * 3600;
        $t >= 315532800 && $t < 315532800 + 31 * 86400
    } 0 .. $n - 1;

    my $got = 0;
    $got += $_->{count} for @{ $old->json };

    $got == $in_month ? exact($old, 'a month of 1980')
        : inexact($old, 'a month of 1980');

    is_json $nginx->get('/stats/user-activity/u0')->json->{total_events},
        $n / 10 . '', 'users are not concerned';

    $nginx->stop;
};


subtest 'too many minutes' => sub {
    my $nginx = Analytics::Test->new(zone => $SMALL, types => 500)->start;

    # every type in every tenth minute of the last two days

    my $now = floor(time / 60);
    my $n   = 100_000;

    is post_all($nginx, events($n, sub { 'u' }, sub { 't' . $_[0] % 400 },
        sub { ($now - $_[0] % 287 * 10) * 60 })), 0, 'no request fails';

    is $nginx->json('/stats/total')->{total_events}, $n, 'all are counted';

    my $answer = $nginx->get('/stats/recent-activity?minutes=2880');
    my $total  = $answer->json->{total_events};

    cmp_ok $total, '<', $n, "$total are told of the last two days";
    inexact $answer, 'the recent activity';

    $answer = $nginx->get('/stats/over-time?days=3');

    my $sum = 0;
    $sum += $_->{count} for @{ $answer->json };

    # what is not told must be said; that something may be missing, can be

    $sum == $n ? pass('the last days are told')
        : inexact($answer, "the last days, of which $sum are told");

    $nginx->stop;
};


subtest 'times beyond what is retained' => sub {
    my $nginx = Analytics::Test->new(retain => 'totals=90d')->start;

    my $today  = floor(time / 86400);
    my $inside = 86400 * ($today - 80);
    my $before = 86400 * ($today - 400);

    is post_all($nginx, events(100, sub { 'u' }, sub { 't' },
        sub { $inside }), events(50, sub { 'u' }, sub { 't' },
        sub { $before })), 0, 'events of now and of long ago';

    is $nginx->json('/stats/total')->{total_events}, 150,
        'the total has them all';
    is_json $nginx->get('/stats/by-event-type'),
        '[{"event_type":"t","count":150}]', 'so has the type';
    is $nginx->json('/stats/user-activity/u')->{first_event_at},
        Analytics::Oracle::instant($before), 'and the user';

    my $date = Analytics::Oracle::date($today - 80);
    my $answer = $nginx->get("/stats/over-time?start=$date&end=$date");

    is_json $answer, "[{\"date\":\"$date\",\"count\":100}]",
        'the days have those that are retained';
    exact $answer, 'a day that is retained';

    $date = Analytics::Oracle::date($today - 400);
    $answer = $nginx->get("/stats/over-time?start=$date&end=$date");

    is_json $answer, "[{\"date\":\"$date\",\"count\":0}]",
        'a day that is not is empty';
    inexact $answer, 'a day that is not retained';

    # the busiest hour may have been before

    is post_all($nginx, events(200, sub { 'u' }, sub { 't' },
        sub { $before })), 0, 'more of long ago';

    $answer = $nginx->get('/usage-summary');

    is $answer->json->{total_events}, 350, 'the summary has them all';

    ($answer->json->{peak_activity_window} // {})->{count} == 250
        ? exact($answer, 'the summary')
        : inexact($answer, 'the summary');

    $nginx->stop;
};


subtest 'long names' => sub {
    my $nginx = Analytics::Test->new(zone => '4m', types => 4)->start;

    is post_all($nginx, events(20_000,
        sub { sprintf '%0255d', $_[0] }, sub { 'x' x 254 . $_[0] % 6 })), 0,
        'no request fails';
    is $nginx->json('/stats/total')->{total_events}, 20_000, 'all are counted';
    is scalar @{ $nginx->json('/stats/by-user?limit=1000') }, 1000,
        'as many as are asked for';

    $nginx->stop;
};


done_testing;
