package Bench::Metrics;

# Copyright (C) The nginx analytics authors

# The rows of numbers over time: what metrics cost as events come in, how fast
# they are answered, and what they take in the zone.

use strict;
use warnings;

use parent 'Bench::Found';

use Bench::Events;
use Bench::Feed;
use Bench::Nginx;
use Bench::Process;
use Bench::Slices;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Copy qw(copy);
use POSIX qw(strftime);

# in this order
our @ROWS = qw(metrics series kept dashboard);

use constant {
    DAYS     => 364,
    HOURS    => 2 * 365 * 24,
    LISTS    => 10_000,         # of 1000 events, 10M in all
    ASKING   => 4,              # connections that ask for the dashboard
    BETWEEN  => 20,             # ms, on average
    PIECE    => 3000,           # bytes that nginx takes as one parameter
};

# what somebody might want to know of the events that are sent here
my @METRICS = (
    'count', 'count by=:type', 'count type=login', 'count type=signup',
    'count type=purchase', 'count type=page_view,click,scroll',
    'count type=error', 'count where=ms>=1000', 'count type=search by=:type',
    'sum field=ms', 'sum field=ms by=:type', 'avg field=ms',
    'avg field=ms type=page_view', 'min field=ms', 'max field=ms',
    'p50 field=ms', 'p95 field=ms', 'p99 field=ms type=page_view',
    'unique', 'unique type=purchase',
);


sub lines {
    my $n = 0;

    return join ' ', map { 'metric m' . $n++ . " $_;" } @_;
}


# Zones with their sizes and what stands in them, and routes below their names.

sub zones {
    my ($self, %zones) = @_;

    my $http   = $self->formats;
    my $server = "        location = /health { analytics_health; }\n";

    for my $zone (sort keys %zones) {
        $http .= "    analytics_zone $zone $zones{$zone}[0] "
            . "{ $zones{$zone}[1] }\n";
        $server .= <<"CONF";
        location = /$zone/events/  { analytics_collect $zone format=event; }
        location = /$zone/total    { analytics_stats $zone total; }
        location /$zone/metrics/   { analytics_metrics $zone; }
CONF
    }

    my $nginx = Bench::Nginx->start(modules => [$self->{module}],
        cpus => [$self->{server}], http => $http, server => $server);

    for my $zone (grep { $zones{$_}[1] =~ /^path/ } keys %zones) {
        wait_until(sub { $nginx->is_ready($zone) })
            or die "zone $zone is not ready\n";
    }

    return $nginx;
}


# Lists with metrics declared, against none: stored, and in memory only.

sub metrics {
    my ($self) = @_;

    my $few  = lines_of_batches('few', 8, 1000);
    my $what = 'lists of 1000 events, ' . @METRICS
        . ' metrics against none';

    return ($self->declared($what, $few, none => 'path none; sync 1s;',
            many => 'path many; sync 1s; '),
        $self->declared("$what, in memory", $few, none => '', many => ''));
}


sub declared {
    my ($self, $what, $few, %zone) = @_;

    my $ours = $self->zones(none => ['128m', $zone{none}],
        many => ['128m', $zone{many} . lines(@METRICS)]);
    my %arg = (connections => 8, args => [$few]);

    my $result = measure($what, $self->{rounds},
        many => $self->slice($ours, '/many/events/', 'post.lua', %arg),
        none => $self->slice($ours, '/none/events/', 'post.lua', %arg));

    $ours->discard;

    return $self->row(what => $what, result => $result, one => 'many',
        two => 'none', factor => 1000, mark => { floor => 0.5, aim => 0.8 });
}


# Events of a year, so many lists of 1000 of them, at a location.

sub fill_year {
    my ($self, $nginx, $path) = @_;

    say_progress('making events of a year');

    local $Bench::Events::SPAN = DAYS * 86400;

    my $file = requests_of_batches('year', $path, 1000, 100_000);

    say_progress('sending ' . LISTS / 1000 . 'M events');
    feed(port => $nginx->port, file => $file, cpus => [$self->{load}],
        count => LISTS);
}


# A year by day, against nginx's own answer with the same text.

sub series {
    my ($self) = @_;

    my $ours = $self->zones(year => ['256m', lines(@METRICS)]);

    $self->fill_year($ours, '/year/events/');

    my $query = strftime('?start=%Y-%m-%d', gmtime time - DAYS * 86400)
        . strftime('&end=%Y-%m-%d', gmtime);
    my @rows;

    for (['m0', 'a count'], ['m11', 'an average'], ['m16', 'a p95']) {
        my ($metric, $name) = @$_;
        my $path   = "/year/metrics/$metric$query";
        my $answer = $ours->get($path)->{content};

        die "no year: $answer\n" if 365 != (() = $answer =~ /"time":/g);

        # a parameter has to fit into a buffer of the configuration

        my @piece = unpack '(A' . PIECE . ')*', $answer;
        my $bare  = Bench::Nginx->start(cpus => [$self->{server}],
            server => "default_type application/json;\n"
                . join('', map { "set \$piece$_ '$piece[$_]';\n" } 0 .. $#piece)
                . 'location = /year { return 200 "'
                . join('', map { "\${piece$_}" } 0 .. $#piece) . '"; }');

        die "the answers differ\n"
            if $bare->get('/year')->{content} ne $answer;

        my $what = "GET /metrics/ID, $name, a year by day, 10M events, "
            . 'against "return 200"';
        my %arg  = (connections => 64);

        my $result = measure($what, $self->{rounds},
            ours => $self->slice($ours, $path, 'get.lua', %arg),
            bare => $self->slice($bare, '/year', 'get.lua', %arg));

        $bare->stop;

        # what is asked of is the first; the others say how it is elsewhere

        push @rows, $self->row(what => $what, result => $result,
            one => 'ours', two => 'bare',
            mark => @rows ? {} : { floor => 0.4, aim => 0.8 });
    }

    $ours->stop;

    return @rows;
}


# What a metric takes that is kept by hour for two years.

sub kept {
    my ($self) = @_;

    my %line = (none => '', coun => 'metric m count;',
        summ => 'metric m sum field=ms;', aver => 'metric m avg field=ms;');
    my $ours = $self->zones(map { $_ => ['64m',
        "retain totals=all; $line{$_}"] } keys %line);
    my $hour = time - time % 3600;
    my %used;

    for my $zone (sort keys %line) {
        my $at = 0;

        while ($at < HOURS) {
            my @events = map { sprintf '{"user_id":"u","event_type":"t",'
                . '"timestamp":"%s","metadata":{"ms":%d.25}}',
                strftime('%Y-%m-%dT%H:30:00Z', gmtime $hour - 3600 * $_), $_
            } reverse map { $_ + 1 } $at .. $at + 999;

            $ours->post("/$zone/events/", '[' . join(',', @events) . ']');
            $at += 1000;
        }

        $used{$zone} = $ours->get_json('/health')->{zones}{$zone}{memory_used};
    }

    $ours->stop;

    my ($most) = sort { $b <=> $a }
        map { $used{$_} - $used{none} } grep { $_ ne 'none' } keys %line;
    my %kb = map { $_ => ($used{$_} - $used{none}) / 1000 } keys %line;

    return {
        what     => 'an average, kept by hour for two years',
        measured => sprintf('%.0f kB', $most / 1000),
        value    => $most / 1000,
        floor    => 1000, aim => 600, unit => ' kB', less => 1,
        detail   => sprintf('a count takes %.0f kB, a sum %.0f kB',
            @kb{qw(coun summ)}),
    };
}


# The dashboard of the configuration as it is shipped.

sub dashboard {
    my ($self) = @_;

    my $conf = dirname(abs_path(__FILE__)) . '/../../../../conf';
    my $dir  = work_dir() . '/analytics';
    my $path = '/api/v1/dashboard';

    mkdir $dir;
    chmod 0755, $dir;
    copy($_, $dir) or die "$_: $!\n" for glob "$conf/*.conf";

    my $zone = read_file("$dir/zone.conf") =~ s/^ +(?:path|sync|store|counts).*\n//mgr;

    # a path is in the folder of nginx

    $zone =~ s/^(analytics_zone.*)$/$1\n    path site; sync 1s; store on; counts 4h;/m;
    write_file("$dir/zone.conf", $zone);

    my $server = read_file("$dir/server.conf")
        =~ s{^client_.*\n}{}mgr =~ s{include  analytics/}{include  $dir/}gr;
    my $http = $zone =~ s{include  analytics/}{include  $dir/}r;

    # without the page

    $server =~ s/^include .*pages.conf;\n//m;

    my $ours = Bench::Nginx->start(modules => [$self->{module}],
        cpus => [$self->{server}], http => "$http\n    include $dir/maps.conf;",
        server => $server);

    wait_until(sub { $ours->is_ready('site') }) or die "zone is not ready\n";

    if (!eval { $ours->get($path) }) {
        say_progress("there is no $path: passed over");

        # that it is not there is in the log, which stop() does not like

        end_process($ours->{pid}, 'TERM');

        return;
    }

    $self->fill_year($ours, '/events/');

    my $what   = "GET $path, 10M events, p99";
    my $result = measure($what, $self->{rounds},
        ours => $self->slice($ours, $path, 'get.lua', connections => ASKING,
            args => [BETWEEN]));

    # the server need not be busy here
    delete $_->{busy} for values %$result;

    my $load = $self->check_load($what, $result);
    my ($p50, $p99) = map { median(@{ $result->{ours}{$_} }) / 1000 }
        qw(p50 p99);

    $ours->discard;

    return {
        what     => $what,
        measured => sprintf('%.1f ms', $p99),
        value    => $p99,
        floor    => 5, aim => 1, unit => ' ms', less => 1,
        detail   => sprintf('half of them take less than %.2f ms', $p50)
            . $load,
    };
}


1;
