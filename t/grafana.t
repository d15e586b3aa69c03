# Copyright (C) The nginx analytics authors

# The dashboard in conf/grafana shows something: each of its queries, asked of
# a real Prometheus that scrapes the configuration as it is shipped, returns
# data.

use strict;
use warnings;

use CPAN::Meta::YAML ();
use Test::More;

use Analytics::Prometheus;
use Analytics::Site;
use Analytics::Test;

my $DIR = Analytics::Test::root_dir() . '/conf/grafana';


sub yaml {
    my ($path) = @_;

    return CPAN::Meta::YAML->read_string(
        Analytics::Test::read_file("$DIR/$path"))->[0];
}


sub scrape_config {
    return Analytics::Test::read_file("$DIR/prometheus.yml");
}


my $dashboard = data(Analytics::Test::read_file(
    "$DIR/dashboards/nginx-analytics.json"));

my ($source)   = @{ yaml('provisioning/datasources/nginx-analytics.yaml')
    ->{datasources} };
my ($provider) = @{ yaml('provisioning/dashboards/nginx-analytics.yaml')
    ->{providers} };

my @panels  = grep { $_->{type} ne 'row' } @{ $dashboard->{panels} };
my @targets = map { my $panel = $_; map { { %$_, title => $panel->{title} } }
    @{ $panel->{targets} } } @panels;


subtest 'what Grafana is given fits together' => sub {
    my %variables = map { $_->{name} => $_ }
        @{ $dashboard->{templating}{list} };

    is $source->{type}, 'prometheus', 'a Prometheus';
    is $variables{datasource}{current}{value}, $source->{uid},
        'which the dashboard asks';

    my ($interval) = scrape_config() =~ /scrape_interval: (\S+)/;

    is $source->{jsonData}{timeInterval}, $interval,
        'Grafana knows how often it scrapes';

    my ($prefix) = Analytics::Test::read_file(Analytics::Test::root_dir()
        . '/Makefile') =~ /^PREFIX = (.*)$/m;

    is $provider->{options}{path}, "$prefix/grafana/dashboards",
        'the dashboard is where make install puts it';

    my %ids = map { $_->{id} => 1 } @{ $dashboard->{panels} };

    is scalar keys %ids, @{ $dashboard->{panels} }, 'each panel has an id';

    my (%place, @over, @other, @unknown);

    for my $panel (@{ $dashboard->{panels} }) {
        my ($x, $y, $w, $h) = @{ $panel->{gridPos} }{qw(x y w h)};

        for my $at (map { my $x = $_; map { "$x,$_" } $y .. $y + $h - 1 }
            $x .. $x + $w - 1)
        {
            push @over, $panel->{title} if $place{$at}++ || $x + $w > 24;
        }
    }

    is "@over", '', 'and a place of its own';

    for my $target (@targets) {
        push @other, $target->{title}
            if $target->{datasource}{uid} ne '${datasource}';

        push @unknown, grep { $_ ne '__rate_interval' && !$variables{$_} }
            $target->{expr} =~ /\$(\w+)/g;
    }

    is "@other", '', 'all ask the same Prometheus';
    is "@unknown", '', 'and know each variable';
};


# As Grafana does it: four times as long as from scrape to scrape; and all
# zones are chosen.

sub resolve {
    my ($expression, $interval, @zones) = @_;

    my $zones = join '|', @zones;

    $expression =~ s/\$__rate_interval\b/$interval/g;
    $expression =~ s/\$zone\b/($zones)/g;

    return $expression;
}


SKIP: {
    skip 'Prometheus is not here', 1 unless Analytics::Prometheus::available();

    my $nginx = Analytics::Site->new->start;
    my $port  = $nginx->port;
    my $config = scrape_config() =~ s/(scrape_interval:) \S+/$1 1s/r
        =~ s/127\.0\.0\.1:8080/127.0.0.1:$port/r;

    my $prometheus = Analytics::Prometheus->new(config => $config)->start;


    subtest 'each panel has something to show' => sub {
        my $n = 0;

        # some of all that there is; the last of them is an error

        my $post = sub {
            $n++;

            $nginx->post(@$_) for
                [ '/events/', "{\"user_id\":\"u$n\",\"event_type\":\"view\"}" ],
                (map { [ '/api/v1/user-activity',
                    "{\"user_id\":\"u$n\",\"action\":\"$_\"}" ] }
                    qw(login register)),
                (map { [ '/api/v1/ai-call', "{\"user_id\":\"u$n\","
                    . "\"model_used\":\"m\",\"call_type\":\"$_\","
                    . '"response_time":0.5,"tokens":10,"success":false}' ] }
                    qw(completion embedding)),
                [ '/events/', '{}' ];
        };

        ok wait_for(sub { $post->(); $prometheus->up }), 'it is scraped'
            or diag explain [ $prometheus->targets ];

        my $all = data(Analytics::Test::canonical(
            $prometheus->api('label/__name__/values')));

        cmp_ok scalar @$all, '>', 10, 'into series';

        my %left = map { $_->{expr} => $_ } @targets;

        wait_for(sub {
            $post->();

            for my $expression (keys %left) {
                my @got = $prometheus->query(resolve($expression, '10s',
                    'site'));

                # a rate of nothing that happened is no figure

                delete $left{$expression}
                    if grep { $_->{value}[1] ne 'NaN' } @got;
            }

            return !%left;
        });

        is join("\n", sort map { "$_->{title}: $_->{expr}" } values %left), '',
            'all of ' . @targets . ' queries return data';

        my ($zone) = grep { $_->{name} eq 'zone' }
            @{ $dashboard->{templating}{list} };
        my ($series, $label)
            = $zone->{definition} =~ /^label_values\((\w+), (\w+)\)$/;

        my @zones;

        wait_for(sub {
            @zones = map { $_->{metric}{$label} } $prometheus->query($series);
        });
        is_json \@zones, '["site"]', 'and the zone can be chosen';

        # nothing of ours is told and not shown

        my $shown = join ' ', map { $_->{expr} } @targets;
        my @hidden = grep { /^(?:nginx|user)_/ && !/_(?:sum|count)$/
            && $shown !~ /\b$_\b/ } @$all;

        is "@hidden", '', 'all series are shown';
    };

    $prometheus->stop;
    $nginx->stop;
}


done_testing;
