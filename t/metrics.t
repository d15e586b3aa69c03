# Copyright (C) The nginx analytics authors

# Metrics are what an independent count of all events says, for any range and
# interval, in any time zone, whatever the order in which events come in.

use strict;
use warnings;

use JSON::PP ();
use List::Util qw(shuffle sum0);
use Test::More;
use Time::HiRes qw(sleep);

use Analytics::Figures;
use Analytics::Ranges;
use Analytics::Test;

my $seed = $ENV{ANALYTICS_SEED} || $$;

srand $seed;
note "seed $seed";

my $LONG   = $ENV{ANALYTICS_TORTURE};
my $EVENTS = $LONG ? 100_000 : 12_000;
my $json   = JSON::PP->new->canonical;

my $field = sub { $_[0]{properties}{call}{seconds} };
my $model = sub { $_[0]{properties}{model} // $_[0]{properties}{'$model'} };
my $ok    = sub { ($_[0]{properties}{ok} // '') eq JSON::PP::true };

my %METRICS = (
    all      => [ 'count', { kind => 'count' } ],
    logins   => [ 'count type=login', { kind => 'count', types => ['login'] } ],
    either   => [ 'count type=call,login',
        { kind => 'count', types => [qw(login call)] } ],
    calls    => [ 'count type=call by=model|$model',
        { kind => 'count', types => ['call'], by => $model } ],
    failed   => [ 'count type=call by=model|$model where=ok=false',
        { kind => 'count', types => ['call'], by => $model,
            where => sub { exists $_[0]{properties}{ok} && !$ok->($_[0]) } } ],
    slow     => [ 'count type=call where=call.seconds>=3 where=ok=true',
        { kind => 'count', types => ['call'],
            where => sub { $ok->($_[0]) && ($field->($_[0]) // 0) >= 3 } } ],
    timed    => [ 'count type=call field=call.seconds',
        { kind => 'count', types => ['call'], field => $field } ],
    tokens   => [ 'sum type=call by=model|$model field=tokens|in+out',
        { kind => 'sum', types => ['call'], by => $model, field => sub {
            my $p = $_[0]{properties};
            return $p->{tokens}
                // (defined $p->{in} ? $p->{in} + $p->{out} : undef);
        } } ],
    seconds  => [ 'sum type=call field=call.seconds',
        { kind => 'sum', types => ['call'], field => $field } ],
    average  => [ 'avg type=call by=model|$model field=call.seconds',
        { kind => 'avg', types => ['call'], by => $model, field => $field } ],
    least    => [ 'min type=call field=call.seconds',
        { kind => 'min', types => ['call'], field => $field } ],
    most     => [ 'max type=call by=model|$model field=call.seconds',
        { kind => 'max', types => ['call'], by => $model, field => $field } ],
    median   => [ 'p50 type=call by=model|$model field=call.seconds',
        { kind => 'p50', types => ['call'], by => $model, field => $field } ],
    tail     => [ 'p99.9 type=call field=call.seconds',
        { kind => 'p99.9', types => ['call'], field => $field } ],
    callers  => [ 'unique type=call by=model|$model',
        { kind => 'unique', types => ['call'], by => $model } ],
    active   => [ 'unique', { kind => 'unique', exact => 1 } ],

    map { $_ => [ $_, { kind => $_ } ] }
        qw(users new_users sessions session_time),
);

my $LINES = metric_lines(\%METRICS);

my $LOCATION = 'location /metrics/ { analytics_metrics site; }
    location = /metrics { analytics_prometheus site; }';


# A year of events, at any time of it.

sub random_event {
    my ($from, $to) = @_;

    my $event = {
        user => 'user ' . int(rand() ** 2 * 300),
        type => pick('login', ('call') x 3, 'other'),
        time => int(($from + rand($to - $from)) * 1_000_000),
        properties => {},
    };

    if ($event->{type} eq 'call') {
        my $p = $event->{properties};

        $p->{ pick('model', 'model', '$model') } = pick('small', 'large',
            ('quite "large"') x 2, "\x{dc}ber");
        $p->{call}{seconds} = 0 + sprintf '%.3f', exp(rand(12) - 6)
            if rand() < 0.95;
        $p->{ok} = rand() < 0.8 ? JSON::PP::true : JSON::PP::false
            if rand() < 0.9;

        rand() < 0.5 ? ($p->{tokens} = int rand 1000)
            : @$p{qw(in out)} = (int rand 100, int rand 100);
    }

    return $event;
}


sub ranges {
    my ($nginx, $figures) = @_;

    return Analytics::Ranges->new(nginx => $nginx, figures => $figures,
        metrics => \%METRICS);
}


sub compare { return ranges(shift, shift)->compare(@_) }


sub compare_many {
    my ($nginx, $figures, $n, @more) = @_;

    return ranges($nginx, $figures)->compare_many($n * ($LONG ? 10 : 1),
        @more);
}


# Both days on which the clock is changed are in the year.

my $berlin = Analytics::Figures->new('Europe/Berlin');
my @YEAR   = ($berlin->midnight(2024, 1, 1), $berlin->midnight(2025, 1, 1));
my @events = map { random_event(@YEAR) } 1 .. $EVENTS;

$berlin->add(@events);

my $nginx = Analytics::Test->new(zone => '256m', path => 1,
    log => "timezone Europe/Berlin;\n$LINES", locations => $LOCATION)->start;

post($nginx, @events);


subtest 'any range of a year' => sub {
    my @wrong = ranges($nginx, $berlin)->random($LONG ? 1000 : 100, @YEAR);

    push @wrong, compare_many($nginx, $berlin, 30, @YEAR, qw(week month hour));

    is scalar @wrong, 0, 'is what is counted of all events'
        or diag join "\n", @wrong;
};


subtest 'days on which the clock is changed' => sub {
    for (['2024-03-31', 23], ['2024-10-27', 25], ['2024-10-28', 24]) {
        my ($day, $hours) = @$_;

        my $answer = $nginx->json(
            "/metrics/all?interval=hour&start=$day&end=$day");
        my $whole = $nginx->json("/metrics/all?start=$day&end=$day");

        is scalar @{ $answer->{series} }, $hours, "$day has $hours hours";
        is sum0(map { $_->{value} } @{ $answer->{series} }),
            $whole->{series}[0]{value}, 'which add up to the day';

        my $from = $berlin->midnight(split /-/, $day);

        my @wrong = map {
            compare($nginx, $berlin, $_, 'hour', $from, $from + $hours * 3600)
        } qw(all calls average seconds);

        is scalar @wrong, 0, 'each is right' or diag join "\n", @wrong;
    }
};


subtest 'hours and days add up' => sub {
    my $day   = $nginx->json('/metrics/tokens?start=2024-01-01&end=2024-12-31');
    my $month = $nginx->json(
        '/metrics/tokens?interval=month&start=2024-01-01&end=2024-12-31');
    my $hour = $nginx->json('/metrics/tokens?interval=hour&group=large'
        . '&start=2024-01-01&end=2024-12-31');

    is scalar @{ $day->{series} }, 366, 'a year of days';
    is scalar @{ $month->{series} }, 12, 'of months';
    is sum0(map { $_->{value} } @{ $_->{series} }), $day->{total}, 'the total'
        for $day, $month, $hour;
    is sum0(map { $_->{total} } @{ $day->{groups} }), $day->{total},
        'and the groups, too';
    is_json [ map { $_->{group} } @{ $hour->{groups} } ], '["large"]',
        'one can be chosen';
};


subtest 'late events count where they belong' => sub {
    my @late = map { random_event(@YEAR) } 1 .. 500;

    $berlin->add(@late);
    post($nginx, @late);

    my @wrong = compare_many($nginx, $berlin, 20, @YEAR, qw(day month));

    is scalar @wrong, 0, 'they are there' or diag join "\n", @wrong;
};


# Workers keep answers for as long as nothing changes.

subtest 'an answer has what was acknowledged, whoever gives it' => sub {
    for my $path (0, 1) {
        my $nginx = Analytics::Test->new(zone => '32m', log => $LINES,
            locations => $LOCATION, $path ? (path => 1) : ())->start;
        my ($asked, %client) = ('?start=2024-01-01&end=2024-12-31');

        for (1 .. 200) {
            my $client = $nginx->connect;
            my $answer = $client->request('GET', "/metrics/all$asked");

            $client{ $answer->header('x-worker') } = $client;
            last if keys %client == 2;
        }

        my ($sent, @wrong) = (0);

        for my $turn (1 .. 50) {
            my ($one, @others) = shuffle(values %client);

            my @events = map { {
                user_id => "u$_", event_type => 'login',
                timestamp => '2024-06-01T12:00:00Z'
            } } 1 .. 1 + $turn % 3;

            $sent += @events;

            $one->request('POST', '/events/', type => 'application/json',
                body => $json->encode(\@events))->{status} == 201
                or die 'not accepted';

            # what was kept, too
            push @wrong, grep { $_ != $sent } map {
                $_->request('GET', "/metrics/logins$asked")->json->{total}
            } (@others, $one) x 2;
        }

        is scalar keys %client, 2, 'both workers are asked';
        is_json \@wrong, '[]', $path ? 'with a log' : 'in memory';

        $nginx->stop;
    }
};


sub late_is {
    my ($late, $what) = @_;

    is $nginx->health->{late_events}, $late, $what;
    like $nginx->get('/metrics')->{body},
        qr/^nginx_analytics_late_events_total\{zone="site"\} $late$/m,
        'so is Prometheus';
}


subtest 'late events that are of no session are counted' => sub {
    my $late = $berlin->late;

    cmp_ok $late, '>', 100, 'there are some';
    late_is($late, '/health says how many');
};


subtest 'after a restart, and after a crash' => sub {
    $nginx->stop;
    $nginx->start;

    my @wrong = compare_many($nginx, $berlin, 20, @YEAR, qw(day month hour));

    is scalar @wrong, 0, 'all is as it was' or diag join "\n", @wrong;
    is $nginx->json('/metrics/all')->{complete_since}, undef,
        'from the beginning';
    late_is($berlin->late, 'so are late events');
    $nginx->stop;
};


# All of it is folded from the log, also what is in segments before the last.

subtest 'a metric that is added later is completed' => sub {
    my @keep   = qw(all calls tokens);
    my $some   = join '', map { "metric $_ $METRICS{$_}[0];\n" } @keep;
    my $log    = "timezone Europe/Berlin; segment 256k;\n";
    my $nginx  = Analytics::Test->new(zone => '256m', path => 1,
        log => "$log$some", locations => $LOCATION)->start;
    my $figures = Analytics::Figures->new('Europe/Berlin');

    for my $lines ($LINES, $some, $LINES) {
        my @some = map { random_event(@YEAR) } 1 .. 4000;

        $figures->add(@some);
        post($nginx, @some);

        $nginx->set(log => "$log$lines")->reload;

        @some = map { random_event(@YEAR) } 1 .. 1000;
        $figures->add(@some);
        post($nginx, @some);
    }

    # what was given up a moment ago has to be cleared first, as events come in

    ok wait_for(sub {
        sleep 0.2;              # it stands back for us

        my @some = map { random_event(@YEAR) } 1 .. 50;

        $figures->add(@some);
        post($nginx, @some);

        my @metrics = @{ $nginx->json('/metrics/')->{metrics} };
        return @metrics == keys %METRICS
            && !grep { defined $_->{complete_since} } @metrics;
    }), 'all are complete after a while';

    my @wrong = compare_many($nginx, $figures, 30, @YEAR, qw(day month hour));

    is scalar @wrong, 0, 'they are what they would have been'
        or diag join "\n", @wrong;

    $nginx->stop;
    $nginx->start;
    @wrong = compare_many($nginx, $figures, 15, @YEAR, qw(day month hour));

    is scalar @wrong, 0, 'and stay so' or diag join "\n", @wrong;
    $nginx->stop;
};


subtest 'what happens now, by minute' => sub {
    my $figures = Analytics::Figures->new('UTC');
    my $nginx   = Analytics::Test->new(zone => '32m', log => $LINES,
        locations => $LOCATION)->start;
    my $now  = time;
    my $from = $now - $now % 3600 - 7200;
    my @now  = map { random_event($from, $now) } 1 .. 3000;

    $figures->add(@now);
    post($nginx, @now);

    my @wrong = map {
        compare($nginx, $figures, $_, 'minute', $from, $from + 7200)
    } qw(all calls tokens average least most);

    push @wrong, map { compare($nginx, $figures, $_, 'hour', $from,
        $from + 7200) } qw(median tail seconds);

    is scalar @wrong, 0, 'each minute is right' or diag join "\n", @wrong;

    my $answer = $nginx->json('/metrics/all?interval=minute');

    is scalar @{ $answer->{series} }, 60, 'the last hour, if nothing is said';
    like $answer->{complete_since}, qr/^20/, 'minutes are kept for some time';
    $nginx->stop;
};


subtest 'a time zone of half hours' => sub {
    my $figures = Analytics::Figures->new('Asia/Kolkata');
    my $nginx   = Analytics::Test->new(zone => '32m', locations => $LOCATION,
        log => "timezone Asia/Kolkata;\n$LINES")->start;
    my @range = ($figures->midnight(2024, 2, 20),
        $figures->midnight(2024, 3, 5));
    my @some = map { random_event(@range) } 1 .. 3000;

    $figures->add(@some);
    post($nginx, @some);

    my @wrong = compare_many($nginx, $figures, 30, @range, qw(day hour));

    is scalar @wrong, 0, 'days begin half an hour before UTC does'
        or diag join "\n", @wrong;
    $nginx->stop;
};


subtest 'groups beyond the bound are others' => sub {
    my $nginx = Analytics::Test->new(zone => '32m', locations => $LOCATION,
        log => 'metric n count by=k groups=5; metric s sum by=k field=v '
            . 'groups=5;')->start;
    my @events = map { {
        user => 'u', type => 't', time => 1_700_000_000_000_000 + $_,
        properties => { k => 'k' . ($_ % 100 < 90 ? $_ % 3 : $_ % 40),
            v => $_ % 7 },
    } } 1 .. 5000;

    post($nginx, @events);

    my ($n, $s) = map {
        $nginx->json("/metrics/$_?start=2023-11-14&end=2023-11-14")
    } qw(n s);
    my %groups = map { $_->{group} => $_ } @{ $n->{groups} };

    is $n->{total}, 5000, 'all';
    is $s->{total}, sum0(map { $_->{properties}{v} } @events), 'their sum';
    is sum0(map { $_->{total} } @{ $_->{groups} }), $_->{total},
        'groups and others are all' for $n, $s;
    cmp_ok scalar @{ $n->{groups} }, '<=', 6, 'so many at most';
    ok $groups{other}{total}, 'others are told';

    for my $k (qw(k0 k1 k2)) {
        my $is = grep { $_->{properties}{k} eq $k } @events;

        cmp_ok abs($groups{$k}{total} - $is), '<=', $groups{$k}{error} // 0,
            "$k, which is frequent, is right within what is said";
    }

    $nginx->stop;
};


subtest 'a group that is called as the others are is one of them' => sub {
    my $nginx = Analytics::Test->new(zone => '32m', locations => $LOCATION,
        log => 'metric n count by=k;')->start;
    my $time = 1_700_000_000_000_000;

    post($nginx, map { { user => 'u', type => 't', time => $time,
        properties => { k => $_ } } } qw(a other other a a other a));

    my $n = $nginx->json('/metrics/n?start=2023-11-14&end=2023-11-14');

    is_json [ map { [ $_->{group}, $_->{total} ] } @{ $n->{groups} } ],
        '[["a",4],["other",3]]', 'and there is no second';

    $nginx->stop;
};


subtest 'a sum that is too large is flagged' => sub {
    my $nginx = Analytics::Test->new(zone => '32m', locations => $LOCATION,
        log => 'metric s sum field=v; metric m max field=v;')->start;
    my $most  = 9_007_199_254_740_992;
    my $day   = '?start=2023-11-14&end=2023-11-14';
    my $send  = sub {
        post($nginx, map { { user => 'u', type => 't',
            time => 1_700_000_000_000_000, properties => { v => $most } } }
            1 .. $_[0]);
    };

    $send->(1000);

    my $answer = $nginx->get("/metrics/s$day");

    is $answer->json->{total}, 1000 * $most, 'one that is not';
    is $answer->header('x-analytics-exact'), undef, 'it is exact';

    $send->(100);

    like $nginx->get("/metrics/s$day")->header('x-analytics-exact'), qr/^false/,
        'beyond 2^63 it is not';
    cmp_ok $nginx->json("/metrics/m$day")->{total}, '==', $most,
        'the greatest is right';

    $nginx->stop;
};


subtest 'values that are no numbers are counted' => sub {
    my $nginx = Analytics::Test->new(zone => '32m', locations => $LOCATION,
        log => 'metric a avg field=v by=k; metric t count type=u field=v;
            metric u unique field=v; metric c count by=k;')->start;
    my @values = (1, 2.5, 'x', '3', JSON::PP::true, 'y', 4, undef, [5]);

    post($nginx, (map { { user => 'u', type => 't',
        time => 1_700_000_000_000_000, properties => { v => $_, k => 'k' } } }
        @values), { user => 'u', type => 'u',
        time => 1_700_000_000_000_000, properties => { k => 'k' } });

    # what is null, a list or missing is not there

    my %skipped = (a => 4, t => 0);

    for my $name (qw(a t u c)) {
        my $answer = $nginx->json("/metrics/$name?start=2024-01-01"
            . '&end=2024-01-01');
        my ($listed) = grep { $_->{metric} eq $name }
            @{ $nginx->json('/metrics/')->{metrics} };

        is $answer->{skipped}, $skipped{$name}, "of $name, at any time";
        is $listed->{skipped}, $skipped{$name}, 'and in the list';
    }

    is $nginx->json('/metrics/a?start=2023-11-14&end=2023-11-14')->{total},
        2.5, 'they are not in the average';

    $nginx->stop;
};


# What has the same field and groups is kept together: what was counted of it
# is not counted again as another is completed.

subtest 'nor are they counted again by a metric that is added' => sub {
    my @metrics = ('metric a count field=v by=k;', 'metric b sum field=v by=k;',
        'metric c p95 field=v by=k;');
    my $nginx = Analytics::Test->new(zone => '32m', path => 1,
        locations => $LOCATION, log => $metrics[0])->start;

    for my $n (0 .. $#metrics) {
        $nginx->set(log => "@metrics[0 .. $n]")->reload if $n;

        post($nginx, map { { user => 'u', type => 't',
            time => 1_700_000_000_000_000, properties => { v => $_, k => 'k' } }
            } 1, 'x', 'y', 4, 'z');

        ok wait_for(sub {
            my @told = @{ $nginx->json('/metrics/')->{metrics} };
            return @told == $n + 1
                && !grep { defined $_->{complete_since} } @told;
        }), 'all are complete';

        is $_->{skipped}, 3 * ($n + 1), "of $_->{metric} with $n added"
            for @{ $nginx->json('/metrics/')->{metrics} };
    }

    my ($k) = @{ $nginx->json('/metrics/b?start=2023-11-14&end=2023-11-14')
        ->{groups} };

    is $k->{total}, 3 * 5, 'and the sum is right';
    $nginx->stop;
};


subtest 'what cannot be answered' => sub {
    my $nginx = Analytics::Test->new(zone => '32m', locations => $LOCATION,
        log => $LINES)->start;

    for (
        ['all?interval=year',                       'interval'],
        ['all?start=yesterday',                     'start'],
        ['all?end=2024-13-01',                      'end'],
        ['all?start=2024-03-02&end=2024-03-01',     'start'],
        ['all?start=1969-01-01&end=1970-02-01',     'start'],
        ['all?start=1990-01-01&end=2024-01-01',     'start'],
        ['all?interval=hour&start=2024-01-01T10:30:00Z'
            . '&end=2024-01-01T12:00:00Z',          'start'],
        ['all?start=2024-01-01&end=2024-01-02T10:00:00Z', 'end'],
        ['all?interval=week&start=2024-01-02&end=2024-01-07', 'start'],
        ['all?interval=month&start=2024-01-01&end=2024-01-30', 'end'],
        ['median?interval=minute',                  'interval'],
        ['active?interval=hour',                    'interval'],
        ['callers?interval=hour',                   'interval'],
    ) {
        my ($path, $name) = @$_;

        is_problem $nginx->get("/metrics/$path"), 422, $name, $path;
    }

    is_problem $nginx->get('/metrics/none'), 404, undef, 'no such metric';
    is_problem $nginx->get('/metrics/calls?group=none'), 422, 'group',
        'no such group';

    # events without the path have a group, whose name is empty

    is $nginx->post('/events/', '[{"user_id":"u","event_type":"call",'
        . '"timestamp":"2024-03-01T00:00:00Z"},{"user_id":"u","event_type":'
        . '"call","timestamp":"2024-03-01T00:00:00Z","metadata":{"model":'
        . '"large","call":{"seconds":2}}}]')->{status}, 201, 'two calls';

    my $day = 'start=2024-03-01&end=2024-03-01';

    is_json [ map { $_->{group} } @{
        $nginx->json("/metrics/calls?$day&group=")->{groups} } ], '[""]',
        'a group without a name can be asked for';
    is scalar @{ $nginx->json("/metrics/calls?$day")->{groups} }, 2,
        'or all of them';

    my $hours = 'interval=hour&start=2024-01-01&group=large&end';

    is $nginx->get("/metrics/median?$hours=2024-06-08")->{status}, 200,
        'one group of so many hours as can be merged';

    my $answer = $nginx->get("/metrics/median?$hours=2024-10-01");

    is_problem $answer, 422, 'group', 'one of more hours';
    unlike $answer->json->{detail}, qr/one group/,
        'does not hear that it should ask for one';

    is_json [ map { $_->{metric} } @{ $nginx->json('/metrics/')->{metrics} } ],
        $json->encode([ sort keys %METRICS ]), 'all are listed';
    $nginx->stop;
};


subtest 'what cannot be configured' => sub {
    for (
        ['metric a;',                       'invalid number of arguments'],
        ['metric "a b" count;',             'invalid name of a metric'],
        ['metric a many;',                  'invalid kind of metric "many"'],
        ['metric a p100 field=v;',          'invalid kind of metric "p100"'],
        ['metric a sum;',                   'needs a "field"'],
        ['metric a count size=1;',          'invalid parameter "size=1"'],
        ['metric a count type=;',           'invalid parameter'],
        ['metric a count groups=5;',        'needs "by"'],
        ["metric a count unit=\xff\xfe;",    'invalid parameter'],
        ['metric a count by=k groups=0;',   'invalid parameter'],
        ['metric a count where=x;',         'invalid metric "a"'],
        ['metric a sessions type=t;',       'it is of all users'],
        ['metric a count; metric a count;', 'already declared'],
        ['timezone Europe/Nowhere;',        'invalid time zone'],
        ['timezone right/Europe/Berlin;',   'invalid time zone'],
        ['timezone UTC; timezone UTC;',     'duplicate'],
        ['session 0s;',                     'invalid time of "session"'],
        ['table t nothing;',                'unknown metric "nothing"'],
    ) {
        my ($line, $why) = @$_;

        my ($ok, $said) = Analytics::Test->new(log => $line)->check;

        ok !$ok, $line;
        like $said, qr/\[emerg\].*\Q$why\E/, 'says why';
    }
};


done_testing;
