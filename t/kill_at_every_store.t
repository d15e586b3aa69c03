# Copyright (C) The nginx analytics authors

# A worker is killed at the stores of a fold, one after the other: at each with
# ANALYTICS_TORTURE, else at one in three.  Every event is then counted everywhere
# or nowhere.

use strict;
use warnings;

use Test::More;

use Analytics::Client;
use Analytics::Oracle;
use Analytics::Test;

my $MODULE = $ENV{ANALYTICS_FAULTY}
    || Analytics::Test::root_dir() . '/build/faulty/ngx_http_analytics_module.so';

plan skip_all => "no module with fault points at $MODULE" unless -f $MODULE;
plan skip_all => 'it is not built with sanitizers' if $ENV{ANALYTICS_PRELOAD};

my @EXPECTED = (
    qr/\[alert\].*exited on signal 9/,
    qr/\[alert\].*zone .* was locked by/,
);

my @ROUTES = ('/stats/total', '/stats/by-event-type', '/usage-summary',
    '/stats/by-user?limit=1000',
    '/stats/over-time?start=2025-01-01&end=2025-01-31&interval=hour');


sub as_list {
    return '[' . join(',', map {
        sprintf '{"user_id":"%s","event_type":"%s","timestamp":"%s"}',
            $_->{user}, $_->{type}, Analytics::Oracle::instant($_->{time})
    } @_) . ']';
}


# Posts a list whose worker is to die at its n-th store.  Returns the answer,
# if it lived.

sub post_fatally {
    my ($nginx, $n, @events) = @_;

    my ($worker) = $nginx->workers;
    my $client = $nginx->connect;
    my $answer = $client->request('POST', '/events/', body => as_list(@events),
        type => 'application/json', headers => ["X-Analytics-Fault: $n"]);

    return $answer if $answer;

    $nginx->another_than($worker);

    return undef;
}


sub everything {
    my ($nginx, @users) = @_;

    my $client = $nginx->connect;
    my %got;

    for my $route (@ROUTES, map { "/stats/user-activity/$_" } @users) {
        my $answer = $client->request(GET => $route);

        $got{$route} = $answer->{status} == 200 ? $answer->json : undef;
    }

    return \%got;
}


# The same, of events that are counted one by one.

sub counted {
    my ($events, @users) = @_;

    my $oracle = Analytics::Oracle->new(@$events);
    my $first  = 1735689600 / 3600;

    my %all = (
        $ROUTES[0] => $oracle->total,
        $ROUTES[1] => $oracle->by_type,
        $ROUTES[2] => $oracle->summary_of_all,
        $ROUTES[3] => $oracle->by_user(1000),
        $ROUTES[4] => $oracle->over_time(hour => $first, $first + 31 * 24 - 1),
    );

    $all{"/stats/user-activity/$_"} =
        $oracle->{users}{$_} ? $oracle->user($_) : undef for @users;

    return \%all;
}


sub step { return $ENV{ANALYTICS_TORTURE} ? 1 : 1 + int rand 5 }


subtest 'a fold of new and known names' => sub {
    my $nginx = Analytics::Test->new(workers => 1, module => $MODULE,
        zone => '8m')->expect_log(@EXPECTED)->start;

    my @events = map { { user => "known$_", type => 'known',
        time => 1735689600 + $_ * 7200 } } 0 .. 9;

    is $nginx->post('/events/', as_list(@events))->{status}, 201, 'some events';

    my ($n, $torn, $answer, %folded) = (0, 0);

    until ($answer || $n > 2000) {
        $n += step();

        my @list = (
            { user => "new$n", type => "type$n", time => 1735689600 + $n * 3600 },
            { user => 'known1', type => 'known', time => 1735689600 + $n },
            { user => "known$n", type => "type" . ($n - 1),
                time => 1735689600 + 86400 },
        );

        $answer = post_fatally($nginx, $n, @list);

        my $k = $nginx->json('/stats/total')->{total_events} - @events;

        push @events, @list[0 .. $k - 1] if $k >= 0 && $k <= 3;
        $folded{$k}++;

        my @users = ("new$n", 'known1', "known$n");
        my $same = is_json everything($nginx, @users),
            counted(\@events, @users), "store $n: $k events, everywhere";

        if (!$same && ++$torn == 3) {
            diag 'and so on';
            last;
        }
    }

    is $answer && $answer->{status}, 201, "there are $n stores at most";

    # the first event of a list is folded by itself, the others together

    is_json [ sort keys %folded ], '["0","1","3"]',
        'it died before, between and behind all that is folded at once';
    cmp_ok $n, '>', 30, 'it died often enough to say so';

    my $health = $nginx->json('/health')->{zones}{site};

    is_json $health->{exact}, 'true', 'and all of it is exact';
    note explain [ \%folded, $health ];

    $nginx->stop;
};


subtest 'a fold that has to make room' => sub {
    my $nginx = Analytics::Test->new(workers => 1, module => $MODULE,
        zone => '1m', types => 4)->expect_log(@EXPECTED)->start;

    my $total = 0;

    for my $list (1 .. 40) {
        my @list = map { { user => "user$_", type => 't' . $_ % 6,
            time => 1735689600 + $_ * 60 } } $list * 500 .. $list * 500 + 499;

        is $nginx->post('/events/', as_list(@list))->{status}, 201,
            "list $list" or last;
        $total += @list;
    }

    is_json $nginx->json('/health')->{zones}{site}{exact}, 'false',
        'the zone is full';

    my ($n, $torn, $answer, %folded) = (0, 0);

    until ($answer || $n > 2000) {
        my $before = everything($nginx, 'user20499');

        $n += step();

        $answer = post_fatally($nginx, $n, { user => "comes$n", type => "t$n",
            time => 1735689600 + $n * 3600 });

        my $after = everything($nginx, 'user20499');
        my $k = $after->{'/stats/total'}{total_events} - $total;
        my $sum = 0;

        $sum += $_->{count} for @{ $after->{'/stats/by-event-type'} };

        $total += $k;
        $folded{$k}++;

        my $ok = $k == 0 ? is_json($after, $before, "store $n: nothing changed")
            : is($sum, $total, "store $n: $k event, in total and by type");

        last if !$ok && ++$torn == 3;
    }

    is $answer && $answer->{status}, 201, "there are $n stores at most";
    is_json [ sort keys %folded ], '["0","1"]', 'it died before and behind';

    $nginx->stop;
};


done_testing;
