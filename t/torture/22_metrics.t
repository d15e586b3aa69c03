# Copyright (C) The nginx analytics authors

# Metrics are what an independent program counts: of real requests, and when
# others are declared, and all processes killed, while events come in.

use strict;
use warnings;

use JSON::PP ();
use Test::More;
use Time::HiRes qw(sleep);

use Analytics::Figures;
use Analytics::Ranges;
use Analytics::Test;
use Analytics::Torture;

my $seed = $ENV{ANALYTICS_SEED} || $$;

srand $seed;
note "ANALYTICS_SEED=$seed";

my $RANGES = long() ? 300 : 15;
my $ROUNDS = long() ? 12 : 3;
my $REAL   = Analytics::Test::root_dir() . '/../shared/data/semicomplete-2015-05';
my @EACH   = qw(new_users sessions session_time users);


sub property {
    my ($name) = @_;

    return sub { $_[0]{properties}{$name} };
}


# What there is of all users.

sub of_users {
    return active => [ 'unique', { kind => 'unique', exact => 1 } ],
        map { $_ => [ $_, { kind => $_ } ] } @EACH;
}


subtest 'real requests' => sub {
    plan skip_all => 'the real data is not here: ../shared/data'
        unless -f "$REAL.ndjson";

    my $json = JSON::PP->new->utf8;
    my $said = $json->decode(
        Analytics::Test::read_file("$REAL.expected.json"));
    my @lines = split /\n/, Analytics::Test::read_file("$REAL.ndjson");
    my @events = map {
        my $event = $json->decode($_);
        my ($h, $m, $s, $D) = (split /[-T:Z]/, $event->{timestamp})[3 .. 5, 2];

        { user => $event->{user_id}, type => $event->{action_type},
            properties => $event->{metadata},
            # of May 2015 all of it
            time => (1430438400 + ($D - 1) * 86400 + $h * 3600 + $m * 60 + $s)
                * 1_000_000 };
    } @lines;

    my $bytes  = property('bytes');
    my $status = property('status');
    my %metrics = (
        of_users(),
        requests => [ 'count', { kind => 'count' } ],
        found    => [ 'count by=status', { kind => 'count', by => $status } ],
        failed   => [ 'count where=status>=400 by=method',
            { kind => 'count', by => property('method'),
                where => sub { $status->($_[0]) >= 400 } } ],
        bytes    => [ 'sum field=bytes by=:type',
            { kind => 'sum', field => $bytes, by => sub { $_[0]{type} } } ],
        size     => [ 'avg field=bytes type=image,asset',
            { kind => 'avg', field => $bytes, types => [qw(image asset)] } ],
        least    => [ 'min field=bytes where=status=200',
            { kind => 'min', field => $bytes,
                where => sub { $status->($_[0]) == 200 } } ],
        most     => [ 'max field=bytes by=method',
            { kind => 'max', field => $bytes, by => property('method') } ],
        median   => [ 'p50 field=bytes by=:type',
            { kind => 'p50', field => $bytes, by => sub { $_[0]{type} } } ],
        tail     => [ 'p99 field=bytes', { kind => 'p99', field => $bytes } ],
        paths    => [ 'unique field=path',
            { kind => 'unique', field => property('path') } ],
        visitors => [ 'unique by=:type',
            { kind => 'unique', by => sub { $_[0]{type} } } ],
    );

    for my $zone ('UTC', long() ? qw(Asia/Kolkata America/New_York) : ()) {
        my $figures = Analytics::Figures->new($zone);
        my $nginx   = Analytics::Test->new(zone => '64m',
            log => "timezone $zone;\n" . metric_lines(\%metrics)
                . 'table t ' . join(' ', sort keys %metrics) . ';',
            locations => <<'CONF')->start;
        location /metrics/ { analytics_metrics site; }
        location = /days    { analytics_table site days t; }
        location = /collect { analytics_collect site format=usage; }
CONF

        my $ranges = Analytics::Ranges->new(nginx => $nginx,
            figures => $figures, metrics => \%metrics);

        $figures->add(@events);
        is $nginx->post('/collect', join("\n", @lines),
            type => 'application/x-ndjson')->{status}, 201, "$zone: all";

        # Monday is the 18th

        my @day = map { $figures->midnight(2015, 5, $_) } 16 .. 25;
        my @all = ($figures->midnight(2015, 5, 1),
            $figures->midnight(2015, 6, 1));
        my @wrong;

        for my $name (sort keys %metrics) {
            my $kind = $metrics{$name}[1]{kind};

            push @wrong, $ranges->compare($name, 'month', @all),
                $ranges->compare($name, 'week', @day[2, 9]),
                $ranges->compare($name, 'day', @day[0, 6]);
            push @wrong, $ranges->compare($name, 'hour', @day[1, 5])
                if $kind =~ /^(?:count|sum|avg|min|max)$/;
        }

        is scalar @wrong, 0, "$zone: all of them by all intervals"
            or diag join "\n", @wrong;

        # the days as a table

        my $rows = $nginx->json('/days?start=2015-05-16&end=2015-05-21');

        is scalar @$rows, 6, 'days of all metrics';

        for my $name (sort keys %metrics) {
            my $metric = $metrics{$name}[1];
            my $kind   = $metric->{exact} ? 'count' : $metric->{kind};

            for my $i (0 .. $#$rows) {
                my $value = $figures->value($metric, @day[$i, $i + 1]);

                # of nothing, averages are not there, or 0

                push @wrong, "$name, day $i: $rows->[$i]{$name}"
                    unless Analytics::Ranges::same($kind, $rows->[$i]{$name},
                        $value // $rows->[$i]{$name} && 'nothing');
            }
        }

        is scalar @wrong, 0, 'are that, too' or diag join "\n", @wrong;

        # a third program has counted some of it, by days of UTC

        if ($zone eq 'UTC') {
            my %is = map {
                $_ => [ map { $_->{value} } @{ $nginx->json(
                    "/metrics/$_?start=2015-05-17&end=2015-05-20")->{series} } ]
            } qw(requests active);

            is_json $is{requests}, [ map { $_->{count} } @{ $said->{by_day} } ],
                'as another program counts them';
            is_json $is{active},
                [ map { $_->{active_users} } @{ $said->{by_day} } ],
                'and users';

            my $months = 'interval=month&start=2015-05-01&end=2015-05-31';
            my %found  = map { $_->{group} => $_->{total} }
                @{ $nginx->json("/metrics/found?$months")->{groups} };

            is_json \%found, $said->{status}, 'and what became of them';
            is $nginx->json("/metrics/bytes?$months")->{total},
                $said->{bytes_sum}, 'and all bytes';
        }

        $nginx->stop;
    }
};


# Of what senders send: a text, a number and twenty types.

my $v = property('v');
my $k = property('k');

my %DECLARED = (
    all     => [ 'count', { kind => 'count' } ],
    some    => [ 'count "type=type 1,type 2,type 3"',
        { kind => 'count', types => [ map { "type $_" } 1 .. 3 ] } ],
    by      => [ 'count by=k', { kind => 'count', by => $k } ],
    sum     => [ 'sum field=v by=k', { kind => 'sum', field => $v, by => $k } ],
    large   => [ 'sum field=v where=v>=500',
        { kind => 'sum', field => $v, where => sub { $v->($_[0]) >= 500 } } ],
    average => [ 'avg field=v', { kind => 'avg', field => $v } ],
    least   => [ 'min field=v by=k',
        { kind => 'min', field => $v, by => $k } ],
    most    => [ 'max field=v', { kind => 'max', field => $v } ],
    tail    => [ 'p95 field=v by=k',
        { kind => 'p95', field => $v, by => $k } ],
    users   => [ 'unique by=k', { kind => 'unique', by => $k } ],
    active  => [ 'unique', { kind => 'unique', exact => 1 } ],
    sessions => [ 'sessions', { kind => 'sessions' } ],
    changed => undef,
);

# One name, under which now this and now that is declared.

my @CHANGED = (
    [ 'count by=k', { kind => 'count', by => $k } ],
    [ 'sum field=v', { kind => 'sum', field => $v } ],
    [ 'max field=v "type=type 7"',
        { kind => 'max', field => $v, types => ['type 7'] } ],
    [ 'p50 field=v', { kind => 'p50', field => $v } ],
);


# Some of them, and each time others.

sub declared {
    my ($n, $all) = @_;

    my %metrics = map { $_ => $DECLARED{$_} }
        grep { $all || rand() < 0.6 } keys %DECLARED;

    $metrics{changed} = $CHANGED[ $n % @CHANGED ];

    return \%metrics;
}


# Waits until nothing lacks of what happened before a metric was declared.

sub complete {
    my ($nginx, $metrics) = @_;

    my $told;

    my $is = wait_for(sub {
        $told = eval { $nginx->json('/metrics/')->{metrics} } or return 0;

        return @$told == keys %$metrics
            && !grep { defined $_->{complete_since} } @$told;
    });

    diag explain $told unless $is;

    return $is;
}


subtest 'others are declared under load, and processes are killed' => sub {
    my $log = 'segment 256k; checkpoint size=1m time=1s; '
        . "timezone Europe/Berlin;\n";
    my $metrics = declared(0);

    my $nginx = Analytics::Torture->new(zone => '64m',
        log => $log . metric_lines($metrics),
        locations => 'location /metrics/ { analytics_metrics site; }')->start;

    my $sender = $nginx->sender(clients => 4, pause => 0.02, values => 1,
        # the longest are folded in pieces
        sizes => [ [ 12, 1, 1, 0 ], [ 6, 2, 40, 0 ], [ 2, 150, 400, 0 ] ])
        ->start;

    for my $n (1 .. $ROUNDS) {
        ok $nginx->more(400), 'there is a load' or last;

        # the last of them are all

        $metrics = declared($n, $n == $ROUNDS);
        $nginx->configure(log => $log . metric_lines($metrics));
        note join ' ', map { "$_: $metrics->{$_}[0];" } sort keys %$metrics;

        # now a reload, and a kill at any time after it: of single workers,
        # whose records others fold once more, or of all

        if ($n % 3 == 1) {
            $nginx->signal('HUP');

            for (1 .. 6) {
                sleep rand 0.1;
                my @workers = $nginx->workers;
                kill 'KILL', pick(@workers) if @workers;
            }

        } else {
            $nginx->signal('HUP');
            sleep rand 0.3;
            $nginx->kill_at_once->restart;
        }
    }

    ok complete($nginx, $metrics), 'all are complete after a while';

    $sender->stop;
    $nginx->settle('the invariants of the log', $sender);

    # what was acknowledged is in the log, and only that: so it is of the log

    my $figures = Analytics::Figures->new('Europe/Berlin');
    my $json    = JSON::PP->new->utf8;

    $nginx->log(event => sub {
        my ($event) = @_;

        $figures->add({ user => $event->{user}, type => $event->{type},
            time => $event->{time} // $event->{received},
            properties => $json->decode($event->{properties}) });
    });

    my $now   = time;
    my @today = (localtime $now)[5, 4, 3];
    my $ranges = Analytics::Ranges->new(nginx => $nginx, figures => $figures,
        metrics => $metrics);

    my @day = map {
        $figures->midnight($today[0] + 1900, $today[1] + 1, $today[2] + $_)
    } -12, 2;

    for my $what ('after that', 'and after a crash') {
        my @wrong;

        for my $name (sort keys %$metrics) {
            push @wrong, $ranges->compare($name, 'day', @day);
            push @wrong, $ranges->compare($name, 'hour', $day[1] - 2 * 86400,
                $day[1] - 86400) unless $metrics->{$name}[1]{kind}
                    =~ /^(?:unique|sessions)/;
        }

        is scalar @wrong, 0, "all are right, $what"
            or diag join "\n", scalar(@wrong) . ' times:',
                @wrong[0 .. ($#wrong > 9 ? 9 : $#wrong)];

        @wrong = $ranges->random($RANGES, @day);

        is scalar @wrong, 0, 'and any range' or diag join "\n", @wrong;

        last if $what ne 'after that';

        # what is not in a checkpoint yet is read from the log once more

        $nginx->kill_at_once->restart;
        ok complete($nginx, $metrics), 'all are complete again';
    }

    $nginx->stop;
};


done_testing;
