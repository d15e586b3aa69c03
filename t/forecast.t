# Copyright (C) The nginx analytics authors

# Forecasts over HTTP: a history that repeats itself goes on as it was, by the
# hour and by the day, of all and of a group, also where the clock was changed;
# too little of it is a 409 that says how much is needed.

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Socket::INET;
use JSON::PP ();
use List::Util qw(all max sum0);
use POSIX qw(strftime tzset);
use Test::More;
use Time::Local qw(timegm);

use Analytics::Test;

my $HOUR = 3600;
my $DAY  = 24 * $HOUR;
my $json = JSON::PP->new->canonical;
my $Z    = 1.959963984540054 / 1.2815515655446004;

# Where the clock was changed in the last weeks, if it was somewhere.

my ($zone) = ((grep { changed($_) } qw(Europe/Berlin America/New_York
    Australia/Sydney America/Santiago Africa/Casablanca)), 'Europe/Berlin');

note "time zone $zone", changed($zone) ? ', where the clock was changed' : '';


sub in_zone {
    my ($zone, $do) = @_;

    local $ENV{TZ} = $zone;
    tzset();

    my @result = $do->();

    delete local $ENV{TZ};
    tzset();

    return wantarray ? @result : $result[0];
}


sub changed {
    my ($zone) = @_;

    return in_zone($zone, sub {
        my $now = time;
        return strftime('%z', localtime $now)
            ne strftime('%z', localtime $now - 28 * $DAY) ? 1 : ();
    });
}


sub instant { return strftime('%Y-%m-%dT%H:%M:%SZ', gmtime $_[0]) }


sub seconds {
    my ($time) = @_;

    my ($y, $m, $d, $h, $min) = $time
        =~ /^(\d+)-(\d+)-(\d+)(?:T(\d+):(\d+):00Z)?$/
        or die "$time is no time\n";

    return timegm(0, $min // 0, $h // 0, $d, $m - 1, $y);
}


# By the hour of a week: no two days are alike, nor are two hours.

sub weekly {
    my ($hour, $day) = @_;

    return 500 + 7 * (($hour * 5) % 24) + 20 * (($day * 3) % 7);
}


sub utc         { my @t = gmtime $_[0]; return weekly(@t[2, 6]) }
sub hour_of_day { my @t = gmtime $_[0]; return weekly($t[2], 0) }
sub local_clock { my @t = localtime $_[0]; return weekly($t[2], 0) }


sub event {
    my ($type, $time, %properties) = @_;

    return { user_id => 'u' . $time % 2, event_type => $type,
        timestamp => instant($time), metadata => \%properties };
}


sub post {
    my ($nginx, @events) = @_;

    while (my @some = splice @events, 0, 2000) {
        my $answer = $nginx->post('/events/', $json->encode(\@some));

        $answer->{status} == 201 or die "$answer->{line} $answer->{body}\n";
    }
}


# From midnight on, four weeks ago and until today is over: so it makes no
# difference if an hour or the day ends meanwhile.

my $midnight = time - time % $DAY;
my @hours    = map { $midnight + $_ * $HOUR } -28 * 24 .. 23;
my $soon     = time - time % $HOUR + $HOUR;

srand 20251004;

my @events = (
    (map {
        (event('weekly', $_, n => 0 + utc($_), who => 'all'),
        event('weekly', $_ + 1, n => 1000 + utc($_), who => 'one'))
    } @hours),
    (map { event('rare', $_) } grep { $_ > $soon - 12 * $HOUR && $_ <= $soon }
        @hours),
    (map { event('avg', $_, n => 0 + hour_of_day($_)) }
        grep { $_ / $HOUR % 10 || $_ < $hours[0] + $DAY } @hours),
    (map { event('sparse', $_, n => 1) } grep { $_ / $HOUR % 3 == 0 } @hours),
    (map { event('noise', $_, n => 0 + sprintf '%.3f', abs(rand() - 0.3)) }
        @hours),
    (map { event('minus', $_, n => 0 + sprintf '%.3f', rand() - 0.3) } @hours),
    (map { event('line', $_, n => ($_ - $hours[0]) / $DAY) }
        grep { $_ % $DAY == 0 } @hours),
);

my $nginx = Analytics::Test->new(zone => '64m',
    locations => 'location /metrics/ { analytics_metrics site; }
        location ~ ^/other/ { analytics_metrics site; }',
    log => '
        metric weekly sum type=weekly field=n by=who unit=calls;
        metric rare   count type=rare;
        metric never  count type=never;
        metric avg    avg type=avg field=n;
        metric sparse avg type=sparse field=n;
        metric noise  sum type=noise field=n;
        metric minus  sum type=minus field=n;
        metric line   sum type=line field=n;
        metric median p50 type=avg field=n;
        metric people unique;
        metric total  users;
    ')->start;

post($nginx, @events);


sub forecast {
    my ($name, $query) = @_;

    return $nginx->json("/metrics/$name/forecast" . ($query ? "?$query" : ''));
}


# How far values and bounds are from what they have to be, at most.

sub off {
    my ($answer, $expected) = @_;

    return max map {
        my $point = $_;
        my $value = $expected->(seconds($point->{time}));

        map { abs($point->{$_} - $value) }
            qw(value low80 high80 low95 high95);
    } @{ $answer->{series} };
}


subtest 'a season that repeats itself' => sub {
    my $now    = time;
    my $answer = forecast('weekly', 'horizon=2w');
    my @series = @{ $answer->{series} };

    is_json [ sort keys %$answer ],
        '["history","interval","metric","season","series","type","unit"]',
        'members';
    is_json [ map { $answer->{$_} } qw(metric type unit interval season) ],
        '["weekly","sum","calls","hour","7d"]', 'what it is of';
    is scalar @series, 336, 'two weeks';
    is_json [ sort keys %{ $series[0] } ],
        '["high80","high95","low80","low95","time","value"]',
        'members of the series';

    my $first = seconds($series[0]{time});

    ok $first == $now - $now % $HOUR || $first == time - time % $HOUR,
        'from the present hour on, which is not over';
    ok((all { seconds($series[$_]{time}) == $first + $_ * $HOUR } 0 .. 335),
        'hour after hour');

    my $history = $answer->{history};

    is $history->{start}, instant($hours[0]), 'the history begins with data';
    is seconds($history->{end}), $first - $HOUR, 'and ends an hour ago';
    is $history->{buckets}, ($first - $hours[0]) / $HOUR, 'hours of it';

    cmp_ok off($answer, sub { 1000 + 2 * utc($_[0]) }), '<', 1e-4,
        'it goes on as it was';
    is scalar @{ forecast('weekly')->{series} }, 168,
        'a week if nothing is said';
};


subtest 'a group' => sub {
    my $answer = forecast('weekly', 'group=one&horizon=30h');

    is scalar @{ $answer->{series} }, 30, '30 hours';
    cmp_ok off($answer, sub { 1000 + utc($_[0]) }), '<', 1e-4, 'is one of it';
};


subtest 'by day' => sub {
    my $answer = forecast('weekly', 'interval=day&horizon=3w');
    my $day    = sub {
        my ($time) = @_;
        return sum0(map { 1000 + 2 * utc($time + $_ * $HOUR) } 0 .. 23);
    };

    is_json [ map { $answer->{$_} } qw(interval season) ], '["day","7d"]',
        'a season of a week';
    is scalar @{ $answer->{series} }, 21, '21 days';
    like $answer->{series}[0]{time}, qr/^\d{4}-\d\d-\d\d$/, 'dates';
    cmp_ok off($answer, $day), '<', 1e-2, 'it goes on as it was';

    $answer = forecast('line', 'interval=day&horizon=365d');

    is $answer->{season}, undef, 'a line has no season';
    cmp_ok off($answer, sub { ($_[0] - $hours[0]) / $DAY }), '<', 1e-3,
        'but goes on for a year';

    $answer = forecast('people');

    is $answer->{interval}, 'day', 'what is not kept by hour is told by day';
    cmp_ok off($answer, sub { 2 }), '<', 1e-6, 'and is as ever';
    is forecast('total')->{interval}, 'day', 'so is what only grows';
};


subtest 'bands' => sub {
    for my $name (qw(noise minus)) {
        my @series = @{ forecast($name)->{series} };
        my @wide   = map { $_->{high95} - $_->{value} } @series;

        ok((all { $_->{low95} <= $_->{low80} && $_->{low80} < $_->{value}
            && $_->{value} < $_->{high80} && $_->{high80} < $_->{high95} }
            @series), "$name: in order");
        ok((all { my $part = ($_->{high95} - $_->{value})
            / ($_->{high80} - $_->{value}); abs($part - $Z) < 1e-3 } @series),
            "$name: of 80 % and 95 % of a normal error");
        ok((all { $wide[$_] >= $wide[$_ - 1] * 0.999 } 1 .. $#wide),
            "$name: what is later is less certain");
        is +(all { $_->{low95} >= 0 } @series), $name eq 'noise',
            "$name: below 0 only what has been so";
    }
};


subtest 'hours without a value' => sub {
    my $answer = forecast('avg', 'horizon=7d');

    cmp_ok off($answer, \&hour_of_day), '<', 1e-4,
        'a few are as the day before';
    is forecast('median')->{history}{buckets},
        $answer->{history}{buckets}, 'nor to a quantile';

    $answer = $nginx->get('/metrics/sparse/forecast');

    is $answer->{status}, 409, 'many are a 409';
    like $answer->json->{detail}, qr/three quarters of the hours .* have none/,
        'which says so';
};


subtest 'too little history' => sub {
    for (
        ['rare/forecast', '48 hours', '1[01]'],
        ['never/forecast', '48 hours', '0'],
        ['rare/forecast?interval=day', '14 days', '[01]'],
    ) {
        my ($path, $needed, $is) = @$_;
        my $answer = $nginx->get("/metrics/$path");

        is $answer->{status}, 409, "$path: 409";
        is $answer->header('content-type'), 'application/problem+json',
            'a problem';
        is $answer->json->{title}, 'Conflict', 'with a title';
        like $answer->json->{detail},
            qr/^a forecast needs a history of $needed, and there are $is$/,
            'which says how much is needed';
    }
};


subtest 'parameters that are wrong' => sub {
    for (
        map({ ["horizon=$_", 'horizon'] } qw(0h 31d 721h 5w x 7 d 1.5d -1d 7D
            99999d), ''),
        map({ ["interval=day&horizon=$_", 'horizon'] } qw(12h 366d 53w 0d)),
        map({ ["interval=$_", 'interval'] } qw(minute week month x), ''),
        ['group=none', 'group'],
    ) {
        my ($query, $field) = @$_;
        my $answer = $nginx->get("/metrics/weekly/forecast?$query");

        is $answer->{status}, 422, "$query: 422";
        like $answer->{body}, qr/\b$field\b/, 'and which it is';
    }

    my $answer = $nginx->get('/metrics/people/forecast?interval=hour');

    is $answer->{status}, 422, 'what is not kept by hour is not told by hour';

    is forecast('weekly', $_)->{metric}, 'weekly', "$_ is fine"
        for qw(horizon=1h horizon=30d horizon=720h horizon=4w
            interval=hour interval=day&horizon=24h interval=day&horizon=52w);
};


subtest 'paths and methods' => sub {
    is $nginx->get($_)->{status}, 404, "no $_"
        for qw(/metrics/none/forecast /metrics/weekly/forecasts
            /metrics/weekly/forecast/x /metrics/forecast);
    is $nginx->get('/other/weekly/forecast')->{status}, 200,
        'a location of a regular expression';
    is $nginx->get('/other/weekly')->{status}, 200, 'also without';

    my $head = $nginx->request('HEAD', '/metrics/weekly/forecast');

    is "$head->{status}, $head->{body}", '200, ', 'HEAD';
    is $nginx->post('/metrics/weekly/forecast', '{}')->{status}, 405,
        'nothing can be posted';
};


sub ask {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $nginx->port) or die "connect: $!\n";

    print {$socket} "GET /metrics/weekly/forecast HTTP/1.1\r\n"
        . "Host: localhost\r\nConnection: close\r\n\r\n";
    $socket->flush;

    return $socket;
}


subtest 'many at once, of whom some leave' => sub {
    my @sockets = map { ask() } 1 .. 60;

    # those in line, and those a thread works for

    close $sockets[$_] for grep { $_ % 3 == 0 } 0 .. $#sockets;

    # who waits is answered, by a worker that is told to quit, too

    $nginx->reload;

    my %bodies;

    for my $socket (@sockets[ grep { $_ % 3 } 0 .. $#sockets ]) {
        my $answer = do { local $/; <$socket> } // '';

        my ($body) = $answer =~ /^HTTP\/1\.1 200 .*?\r\n\r\n(.*)/s;
        $bodies{ $body // 'none' }++;
    }

    cmp_ok scalar keys %bodies, '<=', 2, 'all others get the same';
    ok !$bodies{none}, 'each of them';
    is sum0(values %bodies), 40, 'all of them';
};

$nginx->stop;


subtest "by the clock of $zone" => sub {
    in_zone($zone, sub {
        my $nginx = Analytics::Test->new(zone => '64m',
            locations => 'location /metrics/ { analytics_metrics site; }',
            log => "timezone $zone; metric daily sum type=daily field=n;"
            )->start;

        post($nginx, map { event('daily', $_, n => local_clock($_)) } @hours);

        my $answer = $nginx->json('/metrics/daily/forecast?horizon=30d');
        my @off    = map { abs($_->{value} - local_clock($_->{at})) }
            map { { %$_, at => seconds($_->{time}) } } @{ $answer->{series} };

        is $answer->{season}, '24h', 'a season of a day';
        cmp_ok max(@off), '<', 1e-4, 'that follows the clock';

        $nginx->stop;
    });
};


# By a clock of our own that was changed half a day ago: nothing that came since
# tells what the next hour is like.

subtest 'an alert expects of an hour what the clock lets expect' => sub {
    my $dir = tempdir(CLEANUP => 1);
    my $at  = strftime('%Y %b %d %H:00u', gmtime $soon - 13 * $HOUR);

    open my $rules, '>', "$dir/rules" or die "$dir/rules: $!\n";
    print {$rules} "Zone Moved 1:00 - ONE $at\n 4:00 - FOUR\n";
    close $rules or die "$dir/rules: $!\n";

    system('/usr/sbin/zic', '-d', $dir, "$dir/rules") == 0 or die "zic: $?\n";

    local $ENV{TZDIR} = $dir;

    in_zone('Moved', sub {
        my $nginx = Analytics::Test->new(zone => '64m', path => 1,
            locations => 'location /metrics/ { analytics_metrics site; }
                location = /alerts { analytics_alerts site; }',
            log => 'timezone Moved; metric daily sum type=daily field=n;'
            )->start;

        post($nginx, map { event('daily', $_, n => local_clock($_)) } @hours);

        # what it expects is kept: it is to see all of them the first time

        $nginx->reload(log => 'timezone Moved;
            metric daily sum type=daily field=n;
            alert odd metric=daily anomaly=4 every=1s;');

        my ($alert, $reason);

        ok wait_for(sub {
            $alert = $nginx->json('/alerts')->{alerts}[0];
            return ($alert->{reason} // '') =~ /was expected/;
        }), 'something is expected' or diag explain $alert;

        my ($expected) = $alert->{reason} =~ /^(\S+) was expected/;
        my $last       = time - time % $HOUR - $HOUR;

        ok((grep { abs($expected - local_clock($_)) < 1e-3 }
            $last, $last - $HOUR), 'what the clock says')
            or diag explain $alert;
        ok((grep { $alert->{value} == local_clock($_) } $last, $last - $HOUR),
            'and that is what came');
        is $alert->{state}, 'inactive', 'so all is well';

        $nginx->stop;
    });
};


done_testing;
