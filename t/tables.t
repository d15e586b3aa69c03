# Copyright (C) The nginx analytics authors

# The APIs of user activity and of calls of AI models, as they are shipped:
# their answers are to the letter what a count by hand says.

use strict;
use warnings;

use POSIX qw(strftime);
use Test::More;

use Analytics::Site;
use Analytics::Test;

my $nginx = Analytics::Site->new->start;

$nginx->ready;

Analytics::Test::one_day(60);

my $today = time - time % 86400;
my @DAY   = map { strftime('%Y-%m-%d', gmtime $today - $_ * 86400) } 0 .. 9;


sub activity {
    my ($day, $clock, $user, $action) = @_;

    is $nginx->post('/api/v1/user-activity', Analytics::Test::canonical({
        user_id => $user, action => $action, ip_address => '203.0.113.77',
        user_agent => 'Mozilla/5.0', timestamp => "$DAY[$day]T${clock}Z",
    }))->{status}, 201, "$user: $action";
}


sub call {
    my ($day, $user, %call) = @_;

    is $nginx->post('/api/v1/ai-call', Analytics::Test::canonical({
        user_id => $user, timestamp => "$DAY[$day]T12:00:00Z", %call,
    }))->{status}, 201, "$user: a call";
}


subtest 'users' => sub {

    # two sessions of one user, of 600 s and 0 s, and one of another of 300 s

    activity(3, '10:00:00', 'ann', 'register');
    activity(3, '10:10:00', 'ann', 'login');
    activity(3, '11:00:00', 'ann', 'login');
    activity(3, '09:00:00', 'bob', 'registration');
    activity(3, '09:05:00', 'bob', 'view');

    # and nobody but ann on the next day

    activity(2, '10:00:00', 'ann', 'login');

    is_json $nginx->json("/api/v1/user-stats?start=$DAY[4]&end=$DAY[2]"),
        qq([{"date":"$DAY[4]","logins":0,"registrations":0,"active_users":0,)
        . qq("average_session_time":0},)
        . qq({"date":"$DAY[3]","logins":2,"registrations":2,"active_users":2,)
        . qq("average_session_time":300},)
        . qq({"date":"$DAY[2]","logins":1,"registrations":0,"active_users":1,)
        . qq("average_session_time":0}]), 'by days';

    is_json $nginx->json('/api/v1/user-stats/active?days=7'),
        qq({"active_users":2,"days":7,"start":"$DAY[6]","end":"$DAY[0]"}),
        'of the last days';
    is_json $nginx->json('/api/v1/user-stats/active?days=3'),
        qq({"active_users":1,"days":3,"start":"$DAY[2]","end":"$DAY[0]"}),
        'of fewer';
    is_json $nginx->json('/api/v1/user-stats/total'), '{"total_users":2}',
        'all';
    is scalar @{ $nginx->json('/api/v1/user-stats') }, 30,
        'thirty days if nothing is said';
};


subtest 'calls of AI models' => sub {
    call(3, 'ann', model_used => 'gpt-4', call_type => 'completion',
        response_time => 1.5, tokens => 100, success => \1);
    call(3, 'ann', model_used => 'gpt-4', call_type => 'completion',
        response_time => 2.5, tokens => 300, success => \0);
    call(3, 'bob', model_used => 'small', call_type => 'embedding',
        response_time => 0.5, tokens => 20, success => \1);

    # in the other naming

    is $nginx->post('/api/v1/ai-generation', Analytics::Test::canonical({
        event => '$ai_generation', distinct_id => 'bob',
        timestamp => "$DAY[2]T12:00:00Z", properties => {
            '$ai_model' => 'gpt-4', '$ai_input_tokens' => 30,
            '$ai_output_tokens' => 12, '$ai_latency' => 3.5,
            '$ai_is_error' => \1,
        },
    }))->{status}, 201, 'a generation';

    my ($day, $next) = @{ $nginx->json(
        "/api/v1/ai-stats?start=$DAY[3]&end=$DAY[2]") };

    # of quantiles, what they are of is compared: they are within 1 %

    my @found = map { my $d = $_; [ map { delete $d->{"p${_}_response_time"} }
        50, 95, 99 ] } $day, $next;

    is_json $day, qq({"date":"$DAY[3]","total_api_calls":3,)
        . '"completion_calls":2,"embedding_calls":1,"error_count":1,'
        . '"average_response_time":1.5,"tokens_used":420}', 'a day';
    is_json $next, qq({"date":"$DAY[2]","total_api_calls":1,)
        . '"completion_calls":1,"embedding_calls":0,"error_count":1,'
        . '"average_response_time":3.5,"tokens_used":42}', 'the next one';

    for ([ $found[0], 1.5, 2.5, 2.5 ], [ $found[1], 3.5, 3.5, 3.5 ]) {
        my ($quantiles, @is) = @$_;

        cmp_ok abs($quantiles->[$_] - $is[$_]), '<=', 0.0101 * $is[$_],
            "a quantile of $is[$_]" for 0 .. 2;
    }

    my $models = $nginx->json("/api/v1/ai-stats/models?start=$DAY[3]");
    my @tails  = map { delete $_->{p95_response_time} } @$models;

    is_json $models, '[{"model":"gpt-4","total_api_calls":3,"error_count":2,'
        . '"tokens_used":442,"average_response_time":2.5},'
        . '{"model":"small","total_api_calls":1,"error_count":0,'
        . '"tokens_used":20,"average_response_time":0.5}]',
        'by model, the busiest first';
    cmp_ok abs($tails[0] - 3.5), '<=', 0.035, 'with the tail of one';
    cmp_ok abs($tails[1] - 0.5), '<=', 0.005, 'and of the other';

    is_json $nginx->json("/api/v1/ai-stats/models?start=$DAY[9]&end=$DAY[8]"),
        '[]', 'none where there were none';
};


subtest 'both in one answer' => sub {
    my $day = $nginx->json("/api/v1/stats/daily?date=$DAY[3]");
    my $all = $nginx->json(
        "/api/v1/stats/summary?start=$DAY[3]&end=$DAY[2]");

    delete @{ $_->{ai_stats} }{map { "p${_}_response_time" } 50, 95, 99}
        for $day, $all;

    # who calls a model is active, too, and that is a session: on the first
    # day five of them take 900 s

    is_json $day, qq({"date":"$DAY[3]","user_stats":{"logins":2,)
        . '"registrations":2,"active_users":2,"average_session_time":180},'
        . '"ai_stats":{"total_api_calls":3,"completion_calls":2,'
        . '"embedding_calls":1,"error_count":1,"average_response_time":1.5,'
        . '"tokens_used":420}}', 'a day';
    is_json $all, qq({"start":"$DAY[3]","end":"$DAY[2]","user_stats":{)
        . '"total_users":2,"new_users":2,"active_users":2,"logins":3,'
        . '"registrations":2,"average_session_time":128.571428571429},'
        . '"ai_stats":{"total_api_calls":4,"completion_calls":3,'
        . '"embedding_calls":1,"error_count":2,"average_response_time":2,'
        . '"tokens_used":462}}', 'a range';
};


subtest 'many groups over many days' => sub {
    my $nginx = Analytics::Test->new(zone => '64m', path => 1,
        log => 'metric n count by=m; metric half p50 by=m field=v;
            metric kinds unique by=m field=v; table t n half kinds;',
        locations => <<'CONF')->start;
        location = /groups   { analytics_table site groups=m t; }
        location = /joined   { analytics_join site groups=/groups?days=$arg_d; }
        location  /metrics/  { analytics_metrics site; }
CONF

    # 100 days of 30 groups are more than is merged on the event loop

    my (%n, @events);

    for my $day (0 .. 99) {
        for my $m (0 .. 29) {
            next if ($day + $m) % 3;

            push @events, sprintf '{"user_id":"u","event_type":"t",'
                . '"timestamp":"%sT00:00:00Z","metadata":{"m":"m%d","v":%d}}',
                strftime('%Y-%m-%d', gmtime $today - $day * 86400), $m,
                $day + 1;
            $n{"m$m"}{ $day + 1 } = 1;
        }
    }

    is $nginx->post('/events/', '[' . join(',', @events) . ']')->{status}, 201,
        @events . ' events';

    for my $days (8, 100) {
        my $rows = $nginx->json("/groups?days=$days");
        my @wrong;

        is @$rows, 30, "$days days: all groups";

        for my $row (@$rows) {
            my @v = sort { $a <=> $b } grep { $_ <= $days }
                keys %{ $n{ $row->{m} } };
            my $half = $v[ ($#v) / 2 ];

            push @wrong, Analytics::Test::canonical($row)
                if $row->{n} != @v
                || abs($row->{half} - $half) > 0.0101 * $half
                || abs($row->{kinds} - @v) > 0.1 * @v + 1;
        }

        is_json \@wrong, '[]', 'with all that is theirs';
        is_json $nginx->json("/joined?d=$days")->{groups},
            Analytics::Test::canonical($rows), 'also joined';
    }

    is_problem $nginx->get('/groups?days=3660'), 422, 'start',
        'what would take too long even so';
    $nginx->stop;
};


subtest 'what cannot be asked' => sub {
    for (
        ['/api/v1/user-stats?start=tomorrow',                    'start'],
        ['/api/v1/user-stats?start=2024-03-14&end=2024-03-01',   'start'],
        ['/api/v1/user-stats?days=0',                            'days'],
        ['/api/v1/user-stats/active?days=4000',                  'days'],
        ['/api/v1/stats/daily?date=2024-02-30',                  'date'],
        ['/api/v1/ai-stats?start=2000-01-01',                    'start'],
    ) {
        my ($path, $field) = @$_;

        is_problem $nginx->get($path), 422, $field, $path;
    }
};


subtest 'what cannot be configured' => sub {
    for (
        ['analytics_table site days none;',       'unknown table "none"'],
        ['analytics_table site rows t;',          'invalid form of a table'],
        ['analytics_table site days t t;',        '"days" takes one table'],
        ['analytics_table site groups=k t;',      'a metric has no "by"'],
        ['analytics_table site days;',            'must name a table'],
    ) {
        my ($line, $why) = @$_;

        my ($ok, $said) = Analytics::Test->new(
            log => 'metric n count; table t n;',
            locations => "location = /t { $line }")->check;

        ok !$ok, $line;
        like $said, qr/\[emerg\].*\Q$why\E/, 'says why';
    }
};


$nginx->stop;
done_testing;
