# Copyright (C) The nginx analytics authors

# What Prometheus is told is what was asked for and what happened, in a form
# that it takes.

use strict;
use warnings;

use File::Temp ();
use POSIX qw(strftime);
use Test::More;

use Analytics::Prometheus;
use Analytics::Test;

# A zone may be called as it likes.

my $WEIRD = "a \"quote\", a \\ and\na line";
my $quoted = $WEIRD =~ s/(["\\])/\\$1/gr;

my $nginx = Analytics::Test->new(zone => '32m', path => 1, body => '10k',
    log => 'store on; metric logins count type=login; '
        . 'metric calls count type=call by=model; '
        . 'metric seconds sum type=call field=s; '
        . 'metric slow p95 type=call by=model field=s;',
    http => "analytics_zone \"$quoted\" 16m { }",
    locations => <<"CONF")->start;
        location = /metrics { analytics_prometheus site; }
        location = /weird   { analytics_prometheus "$quoted"; }
        location = /collect { analytics_collect "$quoted" format=event; }

        # without "Accept", as those ask who know no OpenMetrics

        location = /plain {
            proxy_pass        http://127.0.0.1:%PORT%/metrics;
            proxy_set_header  Accept  "";
        }
CONF

$nginx->expect_log(qr/client intended to send too large body/);


# The samples of an answer, by name and labels.

sub samples {
    my ($text) = @_;

    my %samples;

    for (split /\n/, $text) {
        next if /^#/;
        /^(\S+?)\{(.*)\} (\S+)$/ or die "no sample: $_\n";

        my ($name, $labels, $value) = ($1, $2, $3);

        $labels =~ s/(?:^|,)zone="site"//;
        $labels =~ s/^,//;

        my $key = $labels eq '' ? $name : "$name\{$labels}";

        die "$key is there twice\n" if exists $samples{$key};
        $samples{$key} = $value;
    }

    return \%samples;
}


sub scrape { return samples($nginx->get('/metrics')->{body}) }


my ($good, $bad) = (0, 0);

sub post {
    my ($body, $status) = @_;

    is $nginx->post('/events/', $body)->{status}, $status, "$status: "
        . substr $body, 0, 60;
    $status < 400 ? $good++ : $bad++;
}


# What Prometheus has of a job now, named as in the text that it read.

sub scraped {
    my ($prometheus, $job) = @_;

    my %got;

    for ($prometheus->query("{job=\"$job\",zone=\"site\"}")) {
        my %label = %{ $_->{metric} };
        my $name  = delete $label{__name__};

        delete @label{qw(instance job zone)};

        my $labels = join ',', map { "$_=\"" . ($label{$_}
            =~ s/(["\\])/\\$1/gr =~ s/\n/\\n/gr) . '"' }
            sort { ($b eq 'metric') <=> ($a eq 'metric') } keys %label;

        $got{ $labels eq '' ? $name : "$name\{$labels}" } = 0 + $_->{value}[1]
            unless $name =~ /_free_/;
    }

    return \%got;
}


subtest 'requests are counted by how they end' => sub {
    post('{"user_id":"u","event_type":"login"}', 201) for 1 .. 3;
    post('[{"user_id":"u","event_type":"call","metadata":{"model":"m","s":2}},'
        . '{"user_id":"v","event_type":"call","metadata":'
        . '{"model":"a\\"b\\\\c\\nd","s":0.5}}]', 201);
    post('{"user_id":""}', 422);
    post('no JSON', 400);

    $nginx->get('/stats/total');
    $nginx->get('/events/');

    # they are counted when they are logged, behind the answer

    my $is;

    wait_for(sub {
        $is = scrape();
        $is->{user_activity_tracking_api_requests_total} >= $good + $bad;
    }, 60);

    is $is->{user_activity_tracking_api_requests_total}, $good + $bad, 'all';
    is $is->{user_activity_tracking_api_requests_errors_total}, $bad,
        'those that failed';
    is $is->{nginx_analytics_ingest_duration_seconds_count}, $good + $bad,
        'and how long they took';
    is $is->{'nginx_analytics_ingest_duration_seconds_bucket{le="+Inf"}'},
        $good + $bad, 'all of them';

    my @buckets = map { $is->{$_} } sort {
        ($a =~ /le="(.*)"/)[0] =~ s/\+Inf/1e9/r <=>
            ($b =~ /le="(.*)"/)[0] =~ s/\+Inf/1e9/r
    } grep { /_bucket/ } keys %$is;

    is_json \@buckets, Analytics::Test::canonical([sort { $a <=> $b } @buckets]),
        'a bucket has what the ones before it have';
};


subtest 'what the zone holds' => sub {
    my $is = scrape();

    is $is->{nginx_analytics_events_total}, 5, 'events';
    is $is->{nginx_analytics_users}, 2, 'users';
    is $is->{'nginx_analytics_events_by_type_total{type="login"}'}, 3,
        'by type';

    my $health = $nginx->health;

    is $is->{nginx_analytics_zone_size_bytes}, $health->{memory_size},
        'memory';
    is $is->{nginx_analytics_log_bytes}, $health->{log_bytes}, 'the log';
    ok exists $is->{nginx_analytics_store_behind_events}, 'the store';
};


subtest 'declared metrics' => sub {
    my $is = scrape();

    is $is->{'nginx_analytics_metric_events_total{metric="logins"}'}, 3,
        'a count';
    is $is->{'nginx_analytics_metric_events_total{metric="calls",group="m"}'},
        1, 'of a group';
    is $is->{'nginx_analytics_metric_events_total{metric="calls",'
        . 'group="a\\"b\\\\c\\nd"}'}, 1, 'whose name is escaped';
    is $is->{'nginx_analytics_metric_today{metric="seconds"}'}, 2.5, 'a sum';
    cmp_ok abs($is->{'nginx_analytics_metric_today{metric="slow",group="m"}'}
        - 2), '<=', 0.02, 'a quantile';
};


subtest 'OpenMetrics for those who accept it' => sub {
    my $plain = $nginx->get('/metrics');
    my $open  = $nginx->get('/metrics', headers => [
        'Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5' ]);

    is $plain->header('content-type'),
        'text/plain; version=0.0.4; charset=utf-8', 'the text format';
    is $open->header('content-type'), 'application/openmetrics-text; '
        . 'version=1.0.0; charset=utf-8', 'OpenMetrics';
    like $open->{body}, qr/\n# EOF\n\z/, 'which has an end';
    like $open->{body}, qr/^# TYPE nginx_analytics_events counter$/m,
        'a family without "_total"';
    like $plain->{body}, qr/^# TYPE nginx_analytics_events_total counter$/m,
        'and with it';
    is_json [ sort keys %{ samples($open->{body}) } ],
        Analytics::Test::canonical([ sort keys %{ samples($plain->{body}) } ]),
        'the samples are the same';
};


subtest 'labels are escaped, also the name of a zone' => sub {
    is $nginx->post('/collect', '{"user_id":"u","event_type":"a\\"b"}')->{status},
        201, 'an event';

    my $text    = $nginx->get('/weird')->{body};
    my @samples = grep { !/^#/ } split /\n/, $text;
    my $label   = '{zone="a \\"quote\\", a \\\\ and\\na line"';

    is scalar(grep { index($_, $label) < 0 } @samples), 0,
        'each sample has it, in a line';
    is scalar(grep { index($_, "total$label,type=\"a\\\"b\"} 1") > 0 }
        @samples), 1, 'and other labels are, too';
};

# The counters of a zone, by metric and group.

sub counters {
    my ($nginx) = @_;

    my $is = samples($nginx->get('/metrics')->{body});

    return { map { /metric_events_total\{metric="(\w+)"(?:,group="(\w*)")?/
        ? (join('/', grep { defined } $1, $2) => 0 + $is->{$_}) : () }
        keys %$is };
}


sub events_of_days {
    my ($nginx, $days, $model, $n) = @_;

    my @events = map {
        sprintf '{"user_id":"u","event_type":"t","timestamp":"%s",'
            . '"metadata":{"model":"%s","v":%s}}',
            strftime('%Y-%m-%dT%H:%M:%SZ', gmtime time - 86400 * ($_ % $days)),
            $model, $_ % 2 ? '"none"' : 1
    } 0 .. $n - 1;

    is $nginx->post('/events/', '[' . join(',', @events) . ']')->{status}, 201,
        "$n events over $days days";
}


my %COUNTING = (path => 1, zone => '32m',
    locations => <<'CONF');
        location = /metrics  { analytics_prometheus site; }
        location  /metrics/  { analytics_metrics site; }
CONF


subtest 'a counter does not fall with the days that are kept' => sub {
    my $library = Analytics::Test::root_dir() . '/build/preload/clock.so';

    plan skip_all => 'there is no preload/clock.so: "make check" builds it'
        unless -f $library;

    my $nginx = Analytics::Test->new(%COUNTING, preload => $library,
        retain => 'totals=90d', log => 'metric n count; '
            . 'metric g count by=model; metric f count by=model field=v;');
    my $clock = $nginx->dir . '/clock';

    # it is mapped, and so stays the same file

    Analytics::Test::write_file($clock, pack 'q', 0);
    chmod 0644, $clock;

    $nginx->set(env => { ANALYTICS_CLOCK => $clock })->start;

    events_of_days($nginx, 200, 'a', 201);
    events_of_days($nginx, 1, 'b', 3);

    my %expected = (n => 204, 'g/a' => 201, 'g/b' => 3, 'f/a' => 101,
        'f/b' => 2);

    is_json counters($nginx), \%expected, 'all of them count';

    my $past = sprintf '/metrics/n?start=%s&end=%s',
        map { strftime('%Y-%m-%d', gmtime time - 86400 * $_) } 210, 70;
    my $kept = $nginx->json($past)->{total};

    ok $kept > 0 && $kept < 141, "$kept of them are kept by day";

    open my $file, '+<', $clock or die "$clock: $!\n";
    syswrite $file, pack 'q', 86400 * 130;
    close $file;

    ok wait_for(sub {
        $nginx->post('/events/', '{"user_id":"u","event_type":"t",'
            . '"metadata":{"model":"b"}}');
        $expected{n}++;
        $expected{'g/b'}++;

        return $nginx->json($past)->{total} == 0;
    }), 'days later, they are not';

    is_json counters($nginx), \%expected, 'and the counter is what it was';

    # what is stopped leaves a checkpoint

    $nginx->stop;
    $nginx->start;

    is_json counters($nginx), \%expected, 'also after a restart';
    $nginx->stop;
};


subtest 'what a metric is completed with counts once' => sub {
    my @declared = ('metric who unique; metric whose unique by=model; ',
        'metric n count; metric g count by=model; '
            . 'metric f count by=model field=v; ',
        'metric some count where=model=a; ');
    my $nginx = Analytics::Test->new(%COUNTING, log => $declared[0])->start;

    my $complete = sub {
        return wait_for(sub {
            return !grep { defined $_->{complete_since} }
                @{ $nginx->json('/metrics/')->{metrics} };
        });
    };

    events_of_days($nginx, 30, 'a', 40);
    events_of_days($nginx, 30, 'b', 7);

    $nginx->set(log => "@declared[0, 1]")->reload;
    events_of_days($nginx, 30, 'a', 5);
    ok $complete->(), 'counts of events whose users were counted before';

    is_json counters($nginx), { n => 52, 'g/a' => 45, 'g/b' => 7,
        'f/a' => 23, 'f/b' => 4 }, 'have all of them';

    $nginx->set(log => "@declared")->reload;
    events_of_days($nginx, 30, 'b', 2);
    ok $complete->(), 'a metric that nobody counted for';

    my $expected = { n => 54, 'g/a' => 45, 'g/b' => 9, some => 45,
        'f/a' => 23, 'f/b' => 5 };

    is_json counters($nginx), $expected, 'too';

    # it is made of the log alone

    $nginx->stop;
    unlink glob $nginx->dir . '/data/*.checkpoint';
    $nginx->start;
    $complete->();
    is_json counters($nginx), $expected, 'and the log says the same';
    $nginx->stop;
};


SKIP: {
    skip 'Prometheus is not here', 2 unless Analytics::Prometheus::available();

    subtest 'promtool finds nothing to object' => sub {
        my $promtool = Analytics::Prometheus::program('promtool');

        for my $path ('/metrics', '/weird') {
            my $file = File::Temp->new;

            print $file $nginx->get($path)->{body};
            close $file;

            my $said = `$promtool check metrics < $file 2>&1`;

            is $?, 0, "$path passes" or diag $said;
            is $said, '', 'without a word';
        }
    };


    subtest 'a real Prometheus scrapes it' => sub {
        my $config = "global:\n  scrape_interval: 1s\nscrape_configs:\n";

        $config .= "  - job_name: $_\n    metrics_path: /$_\n"
            . "    static_configs:\n      - targets: [\"127.0.0.1:"
            . $nginx->port . "\"]\n" for qw(metrics plain weird);

        my $prometheus = Analytics::Prometheus->new(config => $config)->start;

        ok wait_for(sub { $prometheus->up }), 'all of it'
            or diag explain [ $prometheus->targets ];

        # what is there is there by OpenMetrics and by the other format

        my $is   = scrape();
        my @keys = grep { !/_free_/ } sort keys %$is;

        my $want = { map { $_ => 0 + $is->{$_} } @keys };

        for my $job (qw(metrics plain)) {
            my $got;

            # a scrape that comes late leaves a gap

            wait_for(sub {
                $got = scraped($prometheus, $job);

                return Analytics::Test::canonical($got)
                    eq Analytics::Test::canonical($want);
            }, 60);

            is_json $got, Analytics::Test::canonical($want),
                "$job: every sample as it is told";
        }

        my $weird;

        wait_for(sub {
            ($weird) = $prometheus->query(
                'nginx_analytics_events_total{job="weird"}');
        });

        is $weird->{metric}{zone}, $WEIRD, 'the name of the zone';
        is $weird->{value}[1], 1, 'and what is in it';

        # and what happens then

        post('{"user_id":"w","event_type":"login"}', 201) for 1 .. 3;

        ok wait_for(sub {
            my @now = $prometheus->query('nginx_analytics_metric_events_total'
                . '{metric="logins",job!="weird"}');

            return @now == 2 && !grep { $_->{value}[1] != 6 } @now;
        }), 'new ones are seen';

        $prometheus->stop;
    };
}


$nginx->stop;
done_testing;
