# Copyright (C) The nginx analytics authors

# Every question has the answer that an independent count has, in the shape
# that is documented, and a bad question is told what is bad in it.

use strict;
use warnings;
use utf8;

use POSIX qw(floor);
use Test::More;
use Time::HiRes qw(time);

use Analytics::Load;
use Analytics::Oracle;
use Analytics::Test;

my $DAY0 = 20000;                       # 2024-10-04

my $nginx = Analytics::Test->new->start;


sub fill {
    my (@events) = @_;

    my $body = '[' . join(',', map {
        Analytics::Test::canonical({
            user_id => $_->{user}, event_type => $_->{type},
            timestamp => Analytics::Oracle::instant($_->{time}),
        })
    } @events) . ']';

    my $answer = $nginx->post('/events/', $body);

    is $answer->{status}, 201, scalar(@events) . ' events are taken'
        or BAIL_OUT($answer->{body});
}


subtest 'nothing yet' => sub {
    is_json $nginx->get('/stats/total'),
        '{"total_events":0,"unique_users":0,"unique_event_types":0}', 'total';
    is_json $nginx->get($_), '[]', $_
        for '/stats/by-event-type', '/stats/by-user';
    is_json $nginx->get('/stats/recent-activity'),
        '{"time_window_minutes":60,"total_events":0,"by_type":[]}', 'recent';
    is_json [ map { $_->{count} } @{ $nginx->json('/stats/over-time') } ],
        '[0,0,0,0,0,0,0]', 'over time';
    is_problem $nginx->get('/stats/user-activity/alice'), 404, undef,
        'no user is known';

    my $health = $nginx->json('/health');

    is $health->{status}, 'ok', 'healthy';
    like $health->{version}, qr/^\d+\.\d+\.\d+/, 'has a version';
    like $health->{uptime_seconds}, qr/^\d+$/, 'has an uptime';
    is join(' ', grep { !exists $health->{zones}{site}{$_} } qw(events users
        memory_used memory_size exact)), '', 'tells what is promised of a zone';
    is_json [ @{ $health->{zones}{site} }{qw(events users exact)} ],
        '[0,0,true]', 'which is empty';
    is $health->{zones}{site}{memory_size} <= 16 * 1024 * 1024, 1,
        'and no larger than configured';
    cmp_ok $health->{zones}{site}{memory_used}, '<=',
        $health->{zones}{site}{memory_size}, 'nor fuller than it is large';
};


my @events = (
    Analytics::Oracle::random_events(7, 5000, 400, 12, $DAY0 * 86400,
        5 * 86400),

    # names that a URL cannot hold as they are, and equal counts

    (map { { user => $_, type => 'a type', time => ($DAY0 + 9) * 86400 + 61 } }
        'a/b', 'a b', 'a%2Fb', 'zoë', '日本', 'a?b', 'a+b', '.', 'a//b',
        '<b>&', "quote\"s"),
);

my $oracle = Analytics::Oracle->new(@events);

fill(@events);


subtest 'totals' => sub {
    is $nginx->get('/stats/total')->{body}, sprintf('{"total_events":%d,'
        . '"unique_users":%d,"unique_event_types":%d}',
        @{ $oracle->total }{qw(total_events unique_users unique_event_types)}),
        'to the letter';

    is_json [ @{ $nginx->json('/health')->{zones}{site} }{qw(events users)} ],
        [ @{ $oracle->total }{qw(total_events unique_users)} ],
        'health tells the same';
};


subtest 'by type' => sub {
    is_json $nginx->get('/stats/by-event-type'), $oracle->by_type,
        'all types, the most frequent first, equals by name';

    like $nginx->get('/stats/by-event-type')->{body},
        qr/^\[\{"event_type":"[^"]+","count":\d+\},\{/, 'members in order';
};


subtest 'by user' => sub {
    is_json $nginx->get('/stats/by-user'), $oracle->by_user(10), '10 by default';

    is_json $nginx->get("/stats/by-user?limit=$_"), $oracle->by_user($_),
        "limit=$_" for 1, 2, 10, 100, 1000;

    like $nginx->get('/stats/by-user')->{body},
        qr/^\[\{"user_id":"[^"]+","count":\d+\},\{/, 'members in order';

    is_json $nginx->get('/stats/by-user?other=1&limit=3&x'),
        $oracle->by_user(3), 'parameters that are not known are ignored';
};


subtest 'a user' => sub {
    my %users = map { $_->{user} => 1 } @events;

    my @users = (
        (map { $_->{user_id} } @{ $oracle->by_user(20) }),
        grep { !/^user / } sort keys %users,
    );

    for my $user (@users) {
        my $path = $user;

        utf8::encode($path);
        $path =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ge;

        is_json $nginx->get("/stats/user-activity/$path"),
            $oracle->user($user), "the user $path";
    }

    my $path = '/stats/user-activity/a%20b';

    is $nginx->get($path)->{body}, '{"user_id":"a b","total_events":1,'
        . '"events_by_type":[{"event_type":"a type","count":1}],'
        . '"first_event_at":"2024-10-13T00:01:01Z",'
        . '"last_event_at":"2024-10-13T00:01:01Z"}', 'to the letter';

    is_json $nginx->get("$path/"), $oracle->user('a b'), 'a slash behind';
    is_json $nginx->get("$path?x=1"), $oracle->user('a b'), 'a query behind';
    is_json $nginx->get('/stats/user-activity/a+b'), $oracle->user('a+b'),
        'a plus is a plus';
    is_json $nginx->get('/stats/user-activity/a%252Fb'), $oracle->user('a%2Fb'),
        'decoded once';

    for my $stranger ('nobody', 'A%20B', 'a', '%F0%9F%98%80', 'x' x 256,
        '%FF')
    {
        is_problem $nginx->get("/stats/user-activity/$stranger"), 404, undef,
            'a stranger: ' . substr $stranger, 0, 20;
    }

    is $nginx->get("/stats/user-activity/$_")->{status}, 400,
        'no URL: nginx refuses it' for 'a%00b', 'a%', 'a%2', 'a%zz';

    unlike $nginx->get('/stats/user-activity/%3Cscript%3E')->{body},
        qr/<script>/, 'a name never comes back raw';

    is $nginx->get('/stats/user-activity/')->{status}, 404, 'no user at all';
};


subtest 'over time' => sub {
    my ($first, $last) = ($DAY0 - 2, $DAY0 + 10);
    my $span = 'start=' . Analytics::Oracle::date($first)
        . '&end=' . Analytics::Oracle::date($last);

    is_json $nginx->get("/stats/over-time?$span"),
        $oracle->over_time(day => $first, $last),
        'both days included, empty days, too';
    is_json $nginx->get("/stats/over-time?$span&interval=day"),
        $oracle->over_time(day => $first, $last), 'interval=day is the default';
    is_json $nginx->get("/stats/over-time?$span&interval=hour"),
        $oracle->over_time(hour => $first * 24, $last * 24 + 23), 'by hour';

    my $day = Analytics::Oracle::date($DAY0);

    is_json $nginx->get("/stats/over-time?start=$day&end=$day"),
        $oracle->over_time(day => $DAY0, $DAY0), 'a single day';

    like $nginx->get("/stats/over-time?start=$day&end=$day")->{body},
        qr/^\[\{"date":"2024-10-04","count":\d+\}\]$/, 'to the letter';

    my $end = Analytics::Oracle::date($DAY0 + 3);

    is_json $nginx->get("/stats/over-time?end=$end"),
        $oracle->over_time(day => $DAY0 - 3, $DAY0 + 3), 'seven days to an end';
    is_json $nginx->get("/stats/over-time?end=$end&days=2"),
        $oracle->over_time(day => $DAY0 + 2, $DAY0 + 3), 'two days to an end';
    is_json $nginx->get("/stats/over-time?end=$end&days=2&interval=hour"),
        $oracle->over_time(hour => ($DAY0 + 2) * 24, ($DAY0 + 3) * 24 + 23),
        'two days to an end, by hour';

    is scalar @{ $nginx->json('/stats/over-time?start=1970-01-01'
        . '&end=1980-01-07') }, 3659, 'ten years by day';
    is scalar @{ $nginx->json('/stats/over-time?start=2024-01-01'
        . '&end=2024-12-31&interval=hour') }, 366 * 24, 'a leap year by hour';
    is_json [ map { $_->{date} } @{ $nginx->json('/stats/over-time?'
        . 'start=2024-02-28&end=2024-03-01') } ],
        '["2024-02-28","2024-02-29","2024-03-01"]', 'a leap day is a day';
};


# Runs a test again when the clock reached the next day (or minute) meanwhile.

sub within {
    my ($seconds, $test) = @_;

    while (1) {
        my $before = floor(time / $seconds);
        my @result = $test->($before);

        return @result if floor(time / $seconds) == $before;
    }
}


subtest 'the last days' => sub {
    my $now   = floor(time);
    my $today = floor($now / 86400);
    my @days  = map { { user => 'recent', type => 'recent', time => $_ } }
        $now, $now, ($today - 1) * 86400, ($today - 1) * 86400 + 86399,
        ($today - 2) * 86400 + 86399;

    fill(@days);

    $oracle = Analytics::Oracle->new(@events, @days);

    for my $days ('', 1, 2, 7, 30, 3660) {
        within(86400, sub {
            my ($day) = @_;

            is_json $nginx->get('/stats/over-time'
                . ($days ? "?days=$days" : '')),
                $oracle->over_time(day => $day - ($days || 7) + 1, $day),
                ($days || 'no') . ' days end today';
        });
    }

    within(86400, sub {
        my ($day) = @_;
        my $start = Analytics::Oracle::date($day - 9);

        is_json $nginx->get("/stats/over-time?start=$start"),
            $oracle->over_time(day => $day - 9, $day), 'a start alone';
        is_json $nginx->get('/stats/over-time?days=2&interval=hour'),
            $oracle->over_time(hour => ($day - 1) * 24, $day * 24 + 23),
            'the last days by hour';
    });
};


subtest 'recent activity' => sub {
    my $now = floor(time / 60);

    fill(
        (map { { user => 'r', type => 'just now', time => time } } 1 .. 3),
        { user => 'r', type => 'edge', time => ($now - 5) * 60 },
        { user => 'r', type => 'out', time => ($now - 5) * 60 - 1 },
        { user => 'r', type => 'ahead', time => ($now + 60) * 60 },
        { user => 'r', type => 'old', time => ($now - 2000) * 60 },
    );

    # the two of "the last days" may lie in the window as well
    my $of = sub {
        my ($answer) = @_;
        return { map { $_->{event_type} => $_->{count} }
            grep { $_->{event_type} ne 'recent' } @{ $answer->{by_type} } };
    };

    my $ask = sub {
        my ($query) = @_;
        my ($answer, $passed);

        within(60, sub {
            $answer = $nginx->json("/stats/recent-activity$query");
            $passed = $_[0] - $now;
        });

        return ($answer, $passed);
    };

    my ($answer, $passed) = $ask->('?minutes=5');

    is $answer->{time_window_minutes}, 5, 'says its window';
    is_json $of->($answer), { 'just now' => 3,
        $passed == 0 ? (edge => 1) : () },
        'five whole minutes and the current one' if $passed <= 4;

    ($answer, $passed) = $ask->('?minutes=2880');

    is_json $of->($answer), { 'just now' => 3, edge => 1, out => 1, old => 1,
        $passed >= 60 ? (ahead => 1) : () }, 'two days, the maximum';

    ($answer, $passed) = $ask->('');

    is $answer->{time_window_minutes}, 60, 'an hour by default';
    is_json $of->($answer), { 'just now' => 3, edge => 1, out => 1 },
        'what is ahead of the clock is not recent';

    my $sum = 0;
    $sum += $_->{count} for @{ $answer->{by_type} };
    is $answer->{total_events}, $sum, 'the total is the sum';

    is_json $answer->{by_type}, [ sort {
        $b->{count} <=> $a->{count} || $a->{event_type} cmp $b->{event_type}
    } @{ $answer->{by_type} } ], 'sorted by count, then by name';
};


subtest 'a slash behind changes nothing' => sub {
    for my $path (qw(/stats/total /stats/by-event-type /stats/by-user
        /usage-summary /api/usage-summary))
    {
        is_json $nginx->get("$path/"), $nginx->json($path), $path;
    }

    within(60, sub {
        is_json $nginx->get("$_/"), $nginx->json($_), $_
            for qw(/stats/over-time /stats/recent-activity);
    });

    is $nginx->get('/health/')->{status}, 200, '/health';
};


subtest 'bad parameters are named' => sub {
    my $huge = '9' x 30;
    my @numbers = ('-1', '0', '', 'abc', '1.5', '1e3', '+5', '0x10', '5%20', '5%00',
        '99999999999', '18446744073709551617', $huge, '1,2', "\xef\xbc\x95");

    my @bad = (
        (map { [ '/stats/by-user', 'limit', "limit=$_" ] } @numbers, 1001),
        (map { [ '/stats/over-time', 'days', "days=$_" ] } @numbers, 3661),
        (map { [ '/stats/recent-activity', 'minutes', "minutes=$_" ] }
            @numbers, 2881),

        (map { [ '/stats/over-time', 'start', "start=$_&end=2025-01-31" ] }
            '', 'abc', '2025-1-1', '2025-02-30', '2025-13-01', '20250101',
            '2025-01-01T00:00:00Z', '2025-01-01x', '-025-01-01'),
        (map { [ '/stats/over-time', 'end', "start=2025-01-01&end=$_" ] }
            '', 'abc', '2025-1-1', '2025-02-30', '2025-00-01', '2025-01-32'),
        (map { [ '/stats/over-time', 'interval', "interval=$_" ] }
            '', 'minute', 'HOUR', 'dayx', '1'),

        [ '/stats/over-time', '(?:start|end)',
            'start=2025-01-02&end=2025-01-01' ],
        [ '/stats/over-time', '(?:start|end)',
            'start=2000-01-01&end=2025-01-01' ],
        [ '/stats/over-time', '(?:start|end)',
            'start=2024-01-01&end=2025-01-01&interval=hour' ],
        [ '/stats/over-time', '(?:days|interval)', 'days=367&interval=hour' ],
    );

    for (@bad) {
        my ($path, $name, $query) = @$_;

        is_problem $nginx->get("$path?$query"), 422, qr/\b$name\b/,
            "$path?" . substr $query, 0, 40;
    }

    my $answer = $nginx->get('/stats/by-user?limit=%3Cscript%3E<script>');

    is_problem $answer, 422, qr/limit/, 'hostile text';
    unlike $answer->{body}, qr/<script>/, 'does not come back raw';
};


subtest 'HEAD is GET without a body' => sub {
    my $client = $nginx->connect;

    for my $path (qw(/stats/total /stats/by-event-type /stats/by-user
        /stats/over-time /stats/recent-activity /stats/user-activity/a%20b
        /usage-summary /health /stats/by-user?limit=x
        /stats/user-activity/nobody))
    {
        within(60, sub {
            my $get  = $client->request(GET => $path);
            my $head = $client->request(HEAD => $path);

            is $head->{status}, $get->{status}, "$path: the same status";
            is $head->header('content-type'), $get->header('content-type'),
                "$path: the same type";

            # an uptime may grow by a digit
            is $head->header('content-length'), $get->header('content-length'),
                "$path: the same length" unless $path eq '/health';
        });
    }

    is $client->request(GET => '/health')->{status}, 200,
        'the connection is still in step';
};


subtest 'OPTIONS and other methods' => sub {
    my $client = $nginx->connect;
    my %allow  = (
        (map { $_ => 'GET, HEAD, OPTIONS' } qw(/stats/total
            /stats/by-event-type /stats/by-user /stats/over-time
            /stats/recent-activity /stats/user-activity/alice /health)),
        '/events/'       => 'OPTIONS, POST',
        '/usage-summary' => 'GET, HEAD, OPTIONS, POST',
    );

    for my $path (sort keys %allow) {
        my $answer = $client->request(OPTIONS => $path);

        is $answer->{status}, 204, "OPTIONS $path";
        is join(', ', sort split /, */, $answer->header('allow') // ''),
            $allow{$path}, "OPTIONS $path says what is allowed";

        for my $method (qw(GET HEAD POST PUT PATCH DELETE PROPFIND)) {
            next if $allow{$path} =~ /\b$method\b/;

            my $answer = $client->request($method, $path,
                $method =~ /^P/ ? (body => '{}', type => 'application/json')
                : ());

            is $answer->{status}, 405, "$method $path is not allowed";
            is join(', ', sort split /, */, $answer->header('allow') // ''),
                $allow{$path}, "$method $path says what is";
            is_problem $answer, 405, undef, "$method $path"
                if $method ne 'HEAD';
        }
    }

    is $client->request(GET => '/health')->{status}, 200,
        'the connection is still in step';
};


$nginx->stop;
done_testing;
