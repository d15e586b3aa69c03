# Copyright (C) The nginx analytics authors

# 10,000 real requests of a web site, and what an independent program counted
# in them.  However they arrive, every answer is that.

use strict;
use warnings;

use JSON::PP ();
use Test::More;

use Analytics::Client;
use Analytics::Load;
use Analytics::Test;

my $DATA = Analytics::Test::root_dir()
    . '/../shared/data/semicomplete-2015-05';

plan skip_all => 'the real data is not here: ../shared/data'
    unless -f "$DATA.ndjson";

my $NDJSON   = Analytics::Test::read_file("$DATA.ndjson");
my @EVENTS   = split /\n/, $NDJSON;
my $EXPECTED = JSON::PP->new->utf8->decode(
    Analytics::Test::read_file("$DATA.expected.json"));

my $nginx = Analytics::Test->new(
    http => join('', map { "analytics_zone $_ 16m { }\n" }
        qw(alone split array)),
    locations => join('', map { <<"CONF" } qw(site alone split array))
        location = /$_/collect { analytics_collect $_ format=usage; }
        location = /$_/total   { analytics_stats $_ total; }
        location = /$_/type    { analytics_stats $_ by_type; }
        location = /$_/user    { analytics_stats $_ by_user; }
        location = /$_/time    { analytics_stats $_ over_time; }
        location /$_/users/    { analytics_stats $_ user; }
        location = /$_/summary { analytics_summary $_ format=usage; }
CONF
)->start;


sub compare {
    my ($zone) = @_;

    my $path = "/$zone";

    is_json $nginx->get("$path/total"),
        { map { $_ => $EXPECTED->{$_} }
            qw(total_events unique_users unique_event_types) }, 'totals';

    is_json $nginx->get("$path/type"), $EXPECTED->{by_type}, 'by type';

    is_json $nginx->get("$path/user?limit=20"), $EXPECTED->{by_user_top20},
        'the 20 most active users';

    my $span = 'start=2015-05-17&end=2015-05-20';

    is_json $nginx->get("$path/time?$span"),
        [ map { { date => $_->{date}, count => $_->{count} } }
            @{ $EXPECTED->{by_day} } ], 'by day';

    my %hours = map { $_->{date} => $_->{count} }
        @{ $nginx->json("$path/time?$span&interval=hour") };

    is scalar keys %hours, 4 * 24, 'every hour of the four days';
    delete @hours{ grep { !$hours{$_} } keys %hours };
    is_json \%hours, $EXPECTED->{by_hour}, 'by hour';

    is_json $nginx->json("$path/time?start=2015-05-16&end=2015-05-16"),
        '[{"date":"2015-05-16","count":0}]', 'nothing before';

    my ($name) = map { /^user (.*)/ ? $1 : () } keys %$EXPECTED;
    my $user = $nginx->json("$path/users/$name");
    my %types = map { $_->{event_type} => $_->{count} }
        @{ $user->{events_by_type} };

    is_json { %$user, events_by_type => \%types },
        { user_id => $name, %{ $EXPECTED->{"user $name"} } }, "the user $name";

    my ($window) = sort {
        $EXPECTED->{by_hour}{$b} <=> $EXPECTED->{by_hour}{$a} || $a cmp $b
    } keys %{ $EXPECTED->{by_hour} };

    my %summary = (
        total_events       => $EXPECTED->{total_events},
        total_unique_users => $EXPECTED->{unique_users},
        action_wise_counts => { map { $_->{event_type} => $_->{count} }
            @{ $EXPECTED->{by_type} } },
        most_active_user   => {
            value => $EXPECTED->{by_user_top20}[0]{user_id},
            count => $EXPECTED->{by_user_top20}[0]{count},
        },
        peak_activity_hour => {
            value => $EXPECTED->{peak_hour_of_day}[0],
            count => $EXPECTED->{peak_hour_of_day}[1],
        },
        peak_activity_window => {
            start => $window,
            end   => next_hour($window),
            count => $EXPECTED->{by_hour}{$window},
        },
    );

    my $got = $nginx->json("$path/summary");

    is_json { map { $_ => $got->{$_} } keys %summary }, \%summary,
        'the summary of all';
    is scalar @{ $got->{unique_users} }, 100, 'with 100 users';

    return \%summary;
}


sub next_hour {
    my ($time) = @_;

    return $time =~ s/T(\d\d)/sprintf 'T%02d', $1 + 1/er;
}


sub post_bodies {
    my ($path, $type, @bodies) = @_;

    my (%status, %workers);
    my $bytes = 0;

    Analytics::Load::run(
        port        => $nginx->port,
        connections => 24,
        next        => sub {
            my $body = shift @bodies // return undef;

            return Analytics::Client::format_request('POST', $path,
                type => $type, body => $body);
        },
        done => sub {
            $status{ $_[0]{status} }++;
            $workers{ $_[0]->header('x-worker') }++;
        },
        lost => sub { $status{lost}++ },
    );

    note 'by worker: ' . join ', ', map { "$_: $workers{$_}" } keys %workers;

    return \%status;
}


subtest 'all in one body' => sub {
    my $answer = $nginx->post('/site/collect', $NDJSON,
        type => 'application/x-ndjson');

    is $answer->{body}, '{"accepted":10000,"first_id":1,"last_id":10000}',
        'all are taken';

    my $summary = compare('site');

    # and the list itself, without storing it

    my $array = '[' . join(',', @EVENTS) . ']';
    my $got   = $nginx->post('/site/summary', $array)->json;

    is_json { map { $_ => $got->{$_} } keys %$summary }, $summary,
        'the summary of the posted list';
    is_json $got->{peak_activity_time}, {
        value => $EXPECTED->{peak_second}[0],
        count => $EXPECTED->{peak_second}[1],
    }, 'with its busiest second';

    my %users = map { /"user_id":"([^"]+)"/ ? ($1 => 1) : () } @EVENTS;

    is_json $got->{unique_users}, [ sort keys %users ], 'and every user';
};


subtest 'each in a body of its own, over concurrent connections' => sub {
    is_json post_bodies('/alone/collect', 'application/json', @EVENTS),
        '{"201":10000}', 'all are taken';

    compare('alone');
};


subtest 'in random splits across the workers' => sub {
    my $seed = $ENV{ANALYTICS_SEED} // time;

    note "ANALYTICS_SEED=$seed";
    srand $seed;

    # in another order, too: no figure depends on it

    my @events = map { $_->[0] } sort { $a->[1] <=> $b->[1] }
        map { [ $_, rand ] } @EVENTS;
    my @bodies;

    push @bodies, join "\n", splice @events, 0, 1 + rand(10 ** (1 + int rand 3))
        while @events;

    is_json post_bodies('/split/collect', 'application/x-ndjson', @bodies),
        { 201 => scalar @bodies }, 'all ' . @bodies . ' are taken';

    compare('split');

    is_json post_bodies('/array/collect', 'application/json',
        map { '[' . s/\n/,/gr . ']' } @bodies), { 201 => scalar @bodies },
        'as arrays';

    compare('array');
};


is $nginx->json('/stats/total')->{total_events}, 10_000,
    'zones do not mix';

$nginx->stop;
done_testing;
