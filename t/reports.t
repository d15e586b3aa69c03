# Copyright (C) The nginx analytics authors

# A report says of any day, ISO week or month what an independent count of all
# events says, beside the one before; it is computed once, and corrected when
# something of it changes.

use strict;
use warnings;

use JSON::PP ();
use List::Util qw(sum0 uniq);
use POSIX qw(strftime);
use Test::More;
use Time::Local qw(timegm);

use Analytics::Figures;
use Analytics::Test;

my $seed = $ENV{ANALYTICS_SEED} || $$;

srand $seed;
note "seed $seed";

my $LONG = $ENV{ANALYTICS_TORTURE};
my $json = JSON::PP->new->canonical;

my $field = sub { $_[0]{properties}{seconds} };
my $model = sub { $_[0]{properties}{model} };
my @call  = (types => ['call']);

my %METRICS = (
    all     => [ 'count', { kind => 'count' } ],
    logins  => [ 'count type=login', { kind => 'count', types => ['login'] } ],
    calls   => [ 'count type=call by=model unit=calls',
        { kind => 'count', @call, by => $model } ],
    seconds => [ 'sum type=call by=model field=seconds unit=s',
        { kind => 'sum', @call, by => $model, field => $field } ],
    average => [ 'avg type=call by=model field=seconds',
        { kind => 'avg', @call, by => $model, field => $field } ],
    most    => [ 'max type=call field=seconds',
        { kind => 'max', @call, field => $field } ],
    median  => [ 'p50 type=call by=model field=seconds',
        { kind => 'p50', @call, by => $model, field => $field } ],
    callers => [ 'unique type=call', { kind => 'unique', @call } ],
    active  => [ 'unique', { kind => 'active' } ],
    fresh   => [ 'new_users', { kind => 'new' } ],
    total   => [ 'users', { kind => 'users' } ],
);

# as they are declared: the hostile ones must be shown, and do nothing

my @MODELS = ('<script>alert("x")</script>', '=1+1', 'a,"b"', "\x{dc}ber & co",
    map { "model $_" } 1 .. 12);

my $all   = join ',', sort keys %METRICS;
my $LINES = join '', "timezone Europe/Berlin;\n",
    map({ "metric $_ $METRICS{$_}[0];\n" } sort keys %METRICS),
    "report daily every=day metrics=$all;\n",
    "report weekly every=week metrics=$all 'title=A \"week\" & <more>';\n",
    "report monthly every=month metrics=$all;\n",
    "report few every=day metrics=logins,calls;\n",
    map { "report $_ every=day metrics=$_;\n" } qw(fresh total);

my $LOCATIONS = 'location = /reports { analytics_reports site; }'
    . 'location /reports/ { analytics_reports site; }'
    . 'location /users/ { analytics_erase site; }';


sub instant {
    my ($usec) = @_;

    return strftime('%Y-%m-%dT%H:%M:%S', gmtime int($usec / 1_000_000))
        . sprintf('.%06dZ', $usec % 1_000_000);
}


sub post {
    my ($nginx, @events) = @_;

    while (my @some = splice @events, 0, 1000) {
        my $answer = $nginx->post('/events/', $json->utf8->encode([ map { {
            user_id => $_->{user}, event_type => $_->{type},
            timestamp => instant($_->{time}), metadata => $_->{properties},
        } } @some ]));

        $answer->{status} == 201 or die "$answer->{line} $answer->{body}\n";
    }
}


sub random_event {
    my ($from, $to) = @_;

    my $event = {
        user => 'user ' . int(rand() ** 2 * 200),
        type => (qw(login call call other))[ rand 4 ],
        time => int(($from + rand($to - $from)) * 1_000_000),
        properties => {},
    };

    $event->{properties} = {
        model   => $MODELS[ rand(@MODELS) * rand() ],
        seconds => 0 + sprintf('%.3f', exp(rand(10) - 5)),
    } if $event->{type} eq 'call';

    return $event;
}


# A year and both of its ends: its first week begins in the year before, and it
# has 53 of them.

my $berlin = Analytics::Figures->new('Europe/Berlin');
my @YEAR   = ($berlin->midnight(2019, 12, 20), $berlin->midnight(2021, 1, 20));
my $today  = $berlin->local_clock(sub {
    Analytics::Test::one_day(120, timegm(localtime) - time);

    my @t = localtime;
    return POSIX::mktime(0, 0, 0, @t[3 .. 5], 0, 0, -1);
});


sub name_of {
    my ($every, $at) = @_;

    # at noon, when it is the same day everywhere near

    return $berlin->local_clock(sub {
        return strftime($every eq 'week' ? '%G-W%V'
            : $every eq 'month' ? '%Y-%m' : '%Y-%m-%d', localtime $at + 43200);
    });
}


# When periods begin, from the one before the first event on.

sub periods {
    my ($every) = @_;

    my $from = $every eq 'day' ? $berlin->midnight(2019, 12, 19)
        : $every eq 'week' ? $berlin->midnight(2019, 12, 9)
        : $berlin->midnight(2019, 11, 1);

    return $berlin->buckets($every, $from, $YEAR[1]);
}


# Users are those of the events; each is new on the day of the first.

sub first_of {
    my %first;

    for my $event (@{ $berlin->{events} }) {
        my $first = \$first{ $event->{user} };

        $$first = $event->{time}
            if !defined $$first || $event->{time} < $$first;
    }

    return map { $_ / 1_000_000 } values %first;
}


my @first;


sub expected {
    my ($metric, $from, $to) = @_;

    return scalar grep { $_ >= $from && $_ < $to } @first
        if $metric->{kind} eq 'new';
    return scalar grep { $_ < $to } @first if $metric->{kind} eq 'users';
    return $berlin->value({ %$metric, kind => 'unique' }, $from, $to)
        if $metric->{kind} eq 'active';
    return $berlin->value($metric, $from, $to);
}


sub same {
    my ($kind, $got, $expected) = @_;

    return !defined $got && !defined $expected
        if !defined $got || !defined $expected;

    return abs($got - $expected) <= 0.0101 * $expected if $kind =~ /^p/;
    return abs($got - $expected) <= 5 * 0.0163 * $expected + 3
        if $kind eq 'unique';
    return abs($got - $expected) <= 1e-9 * (abs($expected) + 1);
}


sub change {
    my ($value, $previous) = @_;

    return defined $value && $previous ? ($value - $previous) / abs $previous
        : undef;
}


# Compares all of one report.  Returns what is wrong.

sub compare {
    my ($told, $every, $before, $from, $to, $deep) = @_;

    my @wrong;
    my $name = "$told->{report} $told->{period}";

    my $check = sub {
        my ($kind, $got, $expected, $what) = @_;

        push @wrong, sprintf '%s: %s: %s, not %s', $name, $what,
            $got // 'null', $expected // 'null'
            unless same($kind, $got, $expected);
    };

    my $pair = sub {
        my ($metric, $row, $what) = @_;

        $check->($metric->{kind}, $row->{value},
            expected($metric, $from, $to), $what);
        $check->($metric->{kind}, $row->{previous},
            expected($metric, $before, $from), "$what before");

        my $change = change(@$row{qw(value previous)});

        push @wrong, "$name: $what: change"
            if defined $change != defined $row->{change}
                || defined $change
                && abs($change - $row->{change})
                    > ($metric->{kind} =~ /^p/ ? 2e-4 : 1e-5)
                        * (1 + abs $change);
    };

    push @wrong, "$name: named " . name_of($every, $from)
        if $told->{period} ne name_of($every, $from)
            || $told->{previous_period} ne name_of($every, $before)
            || $told->{start} ne name_of('day', $from)
            || $told->{end} ne name_of('day', $to - 86400)
            || !$told->{closed};

    for my $part (@{ $told->{metrics} }) {
        my $metric = $METRICS{ $part->{metric} }[1];

        $pair->($metric, $part, $part->{metric});

        my $kept = $every ne 'day'
            || $metric->{kind} =~ /^(count|sum|avg|min|max)$/;
        my @at = $berlin->buckets($every eq 'day' ? 'hour' : 'day', $from, $to);

        push @wrong, "$name: $part->{metric}: " . @{ $part->{series} }
            . ' buckets' if @{ $part->{series} } != ($kept ? $#at : 0);

        for my $i ($kept && $deep ? 0 .. $#at - 1 : ()) {
            $check->($metric->{kind}, $part->{series}[$i]{value},
                expected($metric, @at[$i, $i + 1]),
                "$part->{metric} $part->{series}[$i]{time}");
        }

        next unless $part->{groups};

        my %adds = map { $_ => sum0 map { $_->{value} } @{ $part->{groups} } }
            $metric->{kind} =~ /^(count|sum)$/ ? 'value' : ();

        push @wrong, "$name: $part->{metric}: groups add up to $adds{value}"
            if %adds && abs($adds{value} - $part->{value}) > 1e-6;

        push @wrong, "$name: $part->{metric}: too many groups"
            if @{ $part->{groups} } > 10 + keys %adds;

        for my $row ($deep ? @{ $part->{groups} } : ()) {
            next if $row->{group} eq 'other';

            $pair->({ %$metric, group => $row->{group} }, $row,
                "$part->{metric} of $row->{group}");
        }
    }

    return @wrong;
}


my @events = map { random_event(@YEAR) } 1 .. ($LONG ? 40_000 : 4000);

# where days, weeks and years meet, to the second

push @events, map { my $at = $berlin->midnight(@$_); map { {
    user => 'edge', type => 'login', properties => {},
    time => ($at + $_) * 1_000_000,
} } -1, 0 } [2019, 12, 23], [2019, 12, 30], [2020, 1, 1], [2020, 3, 30],
    [2020, 10, 26], [2020, 12, 28], [2021, 1, 1], [2021, 1, 4];
push @events, { user => 'first', type => 'login', properties => {},
    time => $YEAR[0] * 1_000_000 };

$berlin->add(@events);
@first = first_of();

my $nginx = Analytics::Test->new(zone => '256m', path => 1, workers => 1,
    log => $LINES, locations => $LOCATIONS)->start;

post($nginx, @events);


subtest 'each period of each report' => sub {
    my @wrong;
    my $n = 0;

    for my $report ([daily => 'day'], [weekly => 'week'],
        [monthly => 'month'])
    {
        my ($name, $every) = @$report;
        my @at = periods($every);

        for my $i (1 .. $#at - 1) {
            my $told = $nginx->json("/reports/$name?period="
                . name_of($every, $at[$i]));

            push @wrong, compare($told, $every, @at[$i - 1, $i, $i + 1],
                $LONG || $every ne 'day' || $n++ % 20 == 0
                    || name_of('day', $at[$i]) =~ /^2020-(03-29|10-25|01-01)/);
            last if @wrong > 5;
        }
    }

    is scalar @wrong, 0, 'is what is counted of all events'
        or diag join "\n", @wrong;

    my $week = $nginx->json('/reports/weekly?period=2020-W53');

    is "$week->{start} $week->{end} $week->{previous_period}",
        '2020-12-28 2021-01-03 2020-W52', 'a year of 53 weeks';
    is $nginx->json('/reports/weekly?period=2021-W01')->{previous_period},
        '2020-W53', 'is followed by the first week of the next';

    $week = $nginx->json('/reports/weekly?period=2020-W01');

    is "$week->{start} $week->{end} $week->{previous_period}",
        '2019-12-30 2020-01-05 2019-W52', 'a year begins before it does';

    for (['2020-03-29', 23], ['2020-10-25', 25]) {
        my ($day, $hours) = @$_;

        is scalar @{ $nginx->json("/reports/few?period=$day")
            ->{metrics}[0]{series} }, $hours, "$day has $hours hours";
    }
};


subtest 'which there are' => sub {
    my $list = $nginx->json('/reports');

    is_json $nginx->json('/reports/'), $list, 'with a slash, too';

    my ($daily, $weekly, $monthly) = @{ $list->{reports} };
    my $yesterday = name_of('day', $today - 43200 - 1);

    is_json $weekly, { report => 'weekly', title => 'A "week" & <more>',
        every => 'week', metrics => [ sort keys %METRICS ],
        oldest => '2019-W51', latest => name_of('week', $today - 7 * 86400) },
        'with what they show';
    is "$daily->{oldest} $daily->{latest}", "2019-12-20 $yesterday",
        'back to the oldest total';
    is $nginx->json('/reports/daily')->{period}, $yesterday,
        'the last one that is over, if nothing is said';

    my $open = $nginx->json('/reports/weekly?period=current');

    ok !$open->{closed}, 'one that is not over';
    is $open->{period}, name_of('week', $today), 'the present week';
};


subtest 'it is computed once, and corrected' => sub {
    my $path = '/reports/few?period=2020-02-10';
    my $at   = $berlin->midnight(2020, 2, 10);

    my $first  = $nginx->get($path);
    my $second = $nginx->get($path);

    is $second->{body}, $first->{body}, 'the same question, the same answer';
    is $nginx->get($path, headers => [
        'If-None-Match: ' . $first->header('etag') ])->{status}, 304,
        'which who has it need not be sent again';

    # elsewhere nothing changes

    post($nginx, { user => 'u', type => 'login', properties => {},
        time => ($at + 90_000) * 1_000_000 });
    is $nginx->get($path)->{body}, $first->{body}, 'an event of another day';

    # the third changes nothing but a count

    for my $day ($at + 100, $at - 100, $at + 100) {
        my $before = $nginx->get($path);

        post($nginx, { user => 'u', type => 'login', properties => {},
            time => $day * 1_000_000 });

        my $after = $nginx->get($path, headers => [
            'If-None-Match: ' . $before->header('etag') ]);
        my $member = $day > $at ? 'value' : 'previous';

        is $after->{status}, 200, 'a late event';
        is $after->json->{metrics}[0]{$member},
            $before->json->{metrics}[0]{$member} + 1, "is in its $member";
        isnt $after->json->{computed_at}, $before->json->{computed_at},
            'it was computed again';
        is $nginx->get($path)->{body}, $after->{body}, 'once';
    }

    # figures of users may change by what happened on other days

    my $june = $berlin->midnight(2020, 6, 1);

    my $value = sub {
        return $nginx->json("/reports/$_[0]?period=2020-06-01")
            ->{metrics}[0]{value};
    };

    post($nginx, { user => 'somebody new', type => 'login', properties => {},
        time => ($june + 3600) * 1_000_000 });

    my @before = map { $value->($_) } qw(fresh total);

    post($nginx, { user => 'somebody new', type => 'login', properties => {},
        time => ($june - 30 * 86400) * 1_000_000 });
    is $value->('fresh'), $before[0] - 1, 'who is new on an earlier day';
    is $value->('total'), $before[1], 'was there before';

    is $nginx->request('DELETE', '/users/somebody%20new')->{status}, 202,
        'a user is erased';
    is $value->('total'), $before[1] - 1, 'the report is corrected';
};


# Rows of RFC 4180, read for themselves.

sub csv {
    my ($text) = @_;

    my (@rows, @row);

    while (length $text) {
        $text =~ s/^(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)//
            or die "no CSV: " . substr($text, 0, 80) . "\n";

        my ($quoted, $plain, $end) = ($1, $2, $3);

        push @row, defined $quoted ? $quoted =~ s/""/"/gr : $plain;
        next if $end eq ',';

        push @rows, [ @row ];
        @row = ();
    }

    return @rows;
}


subtest 'CSV says the same' => sub {
    for my $question ('weekly?period=2020-W20', 'few?period=2020-10-25',
        'monthly?period=2020-12')
    {
        my $told   = $nginx->json("/reports/$question");
        my $answer = $nginx->get("/reports/$question&format=csv");
        my ($head, @rows) = csv($answer->{body});

        is $answer->header('content-type'), 'text/csv; charset=utf-8', 'CSV';
        is $answer->header('content-disposition'),
            "attachment; filename=\"$told->{report}-$told->{period}.csv\"",
            'a file';
        is "@$head", 'metric unit kind group time value previous change',
            'its columns';

        my @expected;

        for my $part (@{ $told->{metrics} }) {
            my @what = ($part->{metric}, $part->{unit} // '');

            push @expected, [ @what, 'total', '', $told->{period},
                map { $_ // '' } @$part{qw(value previous change)} ];

            # an apostrophe keeps a spreadsheet from reckoning

            push @expected, map { [ @what, 'group',
                do { my $g = $_->{group} =~ s/^(?=[=+@\-])/'/r;
                    utf8::encode($g); $g }, $told->{period},
                map { $_ // '' } @$_{qw(value previous change)} ] }
                @{ $part->{groups} // [] };

            push @expected, map { [ @what,
                $told->{report} eq 'few' ? 'hour' : 'day', '', $_->{time},
                $_->{value} // '', '', '' ] } @{ $part->{series} };
        }

        is_json [ map { join '|', @$_ } @rows ],
            [ map { join '|', @$_ } @expected ], "$question has the figures";
    }
};


subtest 'HTML' => sub {
    my $path   = '/reports/weekly?period=2020-W20';
    my $answer = $nginx->get($path, headers => [
        'Accept: text/html,application/xhtml+xml,*/*;q=0.8' ]);
    my $text = $answer->{body};

    is $answer->header('content-type'), 'text/html; charset=utf-8',
        'for a browser';
    is $answer->header('vary'), 'Accept', 'caches know';
    is $nginx->get("$path&format=html")->{body}, $text, 'or who asks for it';

    # tags are closed in order; what stands between them is escaped

    my (@open, @wrong);

    while ($text =~ m{<(/?)(!?[a-z0-9]+)([^<>]*?)(/?)>|([<>])|&(?!\#?\w+;)}gi) {
        my ($close, $tag, $rest, $empty, $stray) = ($1, $2, $3, $4, $5);

        if (!defined $tag) {
            push @wrong, 'stray ' . substr $text, $-[0], 40;

        } elsif ($close) {
            my $last = pop @open // 'nothing';
            push @wrong, "</$tag> for <$last>" if $last ne $tag;

        } elsif ($tag !~ /^!/ && !$empty) {
            push @open, $tag;
        }
    }

    is_json [ @wrong, @open ], [], 'it is well-formed';
    unlike $text, qr/<script|style=|\son\w+=/i, 'nothing in it can run';
    like $text, qr/&lt;script&gt;alert\(&quot;x&quot;\)/, 'a hostile name';
    like $text, qr{<h1>A &quot;week&quot; &amp; &lt;more&gt;</h1>}, 'the title';
    like $text, qr/\Q?period=2020-W19&amp;format=html\E/, 'the one before';
    like $text, qr/\Q?period=2020-W21&amp;format=html\E/, 'the next';

    my ($style) = $text =~ m{<style>(.*)</style>}s;
    my $hash    = do {
        require Digest::SHA;
        Digest::SHA::sha256_base64($style) . '=';
    };

    like $answer->header('content-security-policy'),
        qr/^default-src 'none'; style-src 'sha256-\Q$hash\E';/,
        'its style alone is let in';
    like $style, qr/\@media print.*\@page|\@page.*\@media print/s,
        'it is made for paper, too';

    my $told = $nginx->json($path);
    my ($sum) = map { $_->{value} } grep { $_->{metric} eq 'all' }
        @{ $told->{metrics} };

    like $text, qr{<td>all <small>events</small></td><td>$sum</td>},
        'the figures are those';
    unlike $nginx->get('/reports/weekly?period=2019-W51&format=html')->{body},
        qr/2019-W50&amp;/, 'nothing is linked before the oldest';
};


subtest 'what is refused' => sub {
    my $tomorrow = name_of('day', $today + 86400);

    for (['daily?period=2021-W20', 'a day like'],
        ['daily?period=2021-02-29', 'a day like'],
        ['daily?period=', 'a day like'], ["daily?period=$tomorrow", 'future'],
        ['daily?period=2019-12-19', 'oldest'],
        ['daily?period=1969-12-31', 'oldest'],
        ['weekly?period=2021-W53', 'a week like'],
        ['weekly?period=2021-W00', 'a week like'],
        ['weekly?period=2021-02-10', 'a week like'],
        ['weekly?period=2021-w10', 'a week like'],
        ['weekly?period=9999-W01', 'future'],
        ['weekly?period=2019-W50', 'oldest'],
        ['monthly?period=2021-13', 'a month like'],
        ['monthly?period=2021-2', 'a month like'],
        ['monthly?period=2019-11', 'oldest'])
    {
        my ($path, $why) = @$_;
        my $answer = $nginx->get("/reports/$path");

        is_problem($answer, 422, $why, $path);
        is $answer->json->{errors}[0]{field}, 'period', 'it is named';
    }

    my $answer = $nginx->get('/reports/daily?format=pdf');

    is_problem($answer, 422, 'json, csv or html', 'a format that there is not');
    is $answer->json->{errors}[0]{field}, 'format', 'is named';

    is_problem($nginx->get('/reports/nobody'), 404, 'no such report',
        'a report that there is not');
    is_problem($nginx->post('/reports/daily', '{}'), 405, undef, 'POST');
    is $nginx->request('HEAD', '/reports/daily')->{status}, 200, 'HEAD';
};


subtest 'after a restart' => sub {
    my $path = '/reports/monthly?period=2020-10';

    # of who was erased, files are cleared first

    ok wait_for(sub { ($nginx->health->{erasing} // 1) eq 0 }),
        'nothing is under way';

    my $before = $nginx->get($path);

    $nginx->stop;
    $nginx->start;

    my $after = $nginx->get($path);

    my ($one, $two) = map { $_->json } $before, $after;

    isnt $two->{computed_at}, $one->{computed_at}, 'made anew';
    delete $_->{computed_at} for $one, $two;
    is_json $two, $one, 'and says the same';
};


# What is added to it is no event: what was kept before must not stay.

subtest 'a metric that is completed later' => sub {
    my $at = $berlin->midnight(2020, 3, 1);
    my $is = $berlin->value({ kind => 'count', types => ['other'] }, $at,
        $berlin->midnight(2020, 4, 1));

    $nginx->set(log => $LINES . "metric later count type=other;\n"
        . "report later every=month metrics=later;\n")->reload;

    my $told;

    ok wait_for(sub {
        ($told) = @{ $nginx->json('/reports/later?period=2020-03')->{metrics} };
        return !defined $told->{complete_since};
    }), 'is complete after a while';

    is $told->{value}, $is, 'and the report has all of it';
    is sum0(map { $_->{value} } @{ $told->{series} }), $is, 'by day, too';
};

$nginx->stop;


subtest 'a configuration that is not valid' => sub {
    for (['report weekly;', 'invalid number of arguments in "report"'],
        ['report a/b every=day metrics=all;', 'invalid name of a report "a/b"'],
        ['report weekly every=year metrics=all;',
            'invalid parameter "every=year"'],
        ['report weekly every=day every=week metrics=all;',
            'invalid parameter "every=week"'],
        ['report weekly every=week metrics=;', 'invalid parameter "metrics="'],
        ['report weekly every=week metrics=all,none;',
            'unknown metric "none" in report "weekly"'],
        ['report weekly every=week metrics=all,;',
            'unknown metric "" in report "weekly"'],
        ['report weekly every=week metrics=all,all;',
            'metric "all" is twice in report "weekly"'],
        ['report weekly every=week title=none;',
            'report "weekly" must have "every=" and "metrics="'],
        ['report weekly every=week metrics=all title=;',
            'invalid title "title="'],
        ["report weekly every=week metrics=all title=\xff;",
            "invalid title \"title=\xff\""],
        ['report weekly every=week metrics=all color=red;',
            'invalid parameter "color=red"'],
        ['report w every=day metrics=all; report w every=day metrics=all;',
            'report "w" is already declared'])
    {
        my ($line, $why) = @$_;
        my ($ok, $said) = Analytics::Test->new(
            log => "metric all count;\n$line", locations => $LOCATIONS)->check;

        ok !$ok, $line;
        like $said, qr/\[emerg\].*\Q$why\E.* in .*nginx\.conf:\d+/,
            'the line and the token are told';
    }
};


done_testing;
