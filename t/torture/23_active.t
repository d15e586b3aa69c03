# Copyright (C) The nginx analytics authors

# Who was active in a range of the past is counted user by user, on a thread:
# a worker answers others meanwhile, and then what an independent count says;
# also within a join, when clients leave and when nginx is told to reload.

use strict;
use warnings;

use IO::Select ();
use Test::More;

use Analytics::Client;
use Analytics::Fault;
use Analytics::Test;
use Analytics::Torture;

plan skip_all => 'no module with fault points'
    unless Analytics::Fault::available();

my $nginx = Analytics::Torture->new(workers => 1, zone => '32m',
    log => 'metric active unique; metric all count; table t active all;',
    locations => <<'CONF');
    location /metrics/  { analytics_metrics  site; }
    location = /range   { analytics_table    site range a=t b=t; }
    location = /days    { analytics_table    site days t; }
    location = /join    { analytics_join     site one=/range?$args
                              two=/metrics/active?$args three=/total
                              four=/metrics/all?$args; }
    location = /total   { analytics_stats    site total; }
CONF
my $fault = Analytics::Fault->new($nginx->dir . '/fault');

$nginx->set($fault->environment)->start;

# more than are counted at once; on the last day some come back

my @DAYS = ([ 20, 0 ], [ 5, 1 .. 6000 ], [ 6, 1 .. 3000 ], [ 7, 2500 .. 3500 ],
    [ 20, 1 .. 10 ]);

my $events = 0;

for (@DAYS) {
    my ($day, @users) = @$_;

    $events += @users;

    is $nginx->post('/events/', join("\n", map { sprintf '{"user_id":"u%d",'
        . '"event_type":"t","timestamp":"2026-01-%02dT12:00:00Z"}', $_, $day
        } @users), type => 'application/x-ndjson')->{status}, 201,
        "day $day: " . @users;
}


# By another way: those of each day, together.

sub active {
    my ($first, $last) = @_;

    my %users = map { map { $_ => 1 } @$_[1 .. $#$_] }
        grep { $_->[0] >= $first && $_->[0] <= $last } @DAYS;

    return scalar keys %users;
}


sub all {
    my ($first, $last) = @_;

    my $n = 0;

    $n += $#$_ for grep { $_->[0] >= $first && $_->[0] <= $last } @DAYS;

    return $n;
}


my %PATHS = (
    '/range' => sub { map { $_->{active}, $_->{all} } @{ $_[0] }{qw(a b)} },
    '/metrics/active' => sub { $_[0]{total} },
    '/join' => sub { (map { $_->{active}, $_->{all} } @{ $_[0]{one} }{qw(a b)}),
        $_[0]{two}{total}, $_[0]{four}{total} },
);

my %EXPECTED = (
    '/range' => sub { (active(@_), all(@_)) x 2 },
    '/metrics/active' => sub { active(@_) },
    '/join' => sub { (active(@_), all(@_)) x 3 },
);


sub ask {
    my ($path, $first, $last) = @_;

    my $client = $nginx->connect;

    $client->send_raw(Analytics::Client::format_request('GET', sprintf
        '%s?start=2026-01-%02d&end=2026-01-%02d', $path, $first, $last));

    return $client;
}


sub answered {
    my ($client) = @_;

    return IO::Select->new($client->{socket})->can_read(0) ? 1 : 0;
}


sub is_right {
    my ($client, $path, @range) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $answer = $client->response('GET');

    is $answer->{status}, 200, "$path: it is answered";
    is_json [ $PATHS{$path}->($answer->json) ],
        Analytics::Test::canonical([ $EXPECTED{$path}->(@range) ]),
        "@range: and that is right";
}


sub others_go_on {
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is $nginx->json('/total')->{total_events}, $events, 'others are answered';
}


# An answer is kept until something changes: nothing that is asked for here.

sub change {
    $nginx->post('/events/', '{"user_id":"u1","event_type":"t",'
        . '"timestamp":"2026-01-20T12:00:00Z"}')->{status} == 201
        or die 'not accepted';

    push @{ $DAYS[-1] }, 1;
    $events++;
}


for my $path (sort keys %PATHS) {
    subtest $path => sub {
        change();
        $fault->hold('active');

        my $client = ask($path, 5, 7);

        ok $fault->held('active'), 'users are being counted';
        others_go_on();
        ok !answered($client), 'who asked for it waits';

        ok $fault->let_go('active'), 'it goes on';
        is_right($client, $path, 5, 7);

        # on the same connection, and at once

        for my $range ([ 6, 7 ], [ 7, 19 ], [ 1, 4 ], [ 5, 20 ], [ 5, 5 ]) {
            is_right(ask($path, @$range), $path, @$range);
        }
    };
}


subtest 'many at once' => sub {
    my @ranges  = map { [ 5 + $_ % 3, 7 + $_ % 2 ] } 0 .. 5;
    my @clients = map { ask('/join', @$_) } @ranges;

    is_right($clients[$_], '/join', @{ $ranges[$_] }) for 0 .. $#ranges;
};


# Of days nobody asks for the total, so that nothing has to be counted.

subtest 'days' => sub {
    $fault->hold('active');

    is_json [ map { $_->{active} } @{ $nginx->json(
        '/days?start=2026-01-04&end=2026-01-08') } ], '[0,6000,3000,1001,0]',
        'each day';

    $fault->let_go('active');
};


# Some are on threads, and some wait for one.

subtest 'clients leave' => sub {
    for my $path (sort keys %PATHS) {
        change();
        $fault->hold('active');

        my @clients = map { ask($path, 5, 7) } 1 .. 5;

        ok $fault->held('active'), "$path: users are being counted";
        others_go_on();

        $_->close for @clients;

        others_go_on();
        ok $fault->let_go('active'), 'it goes on, for nobody';
        is_right(ask($path, 5, 7), $path, 5, 7);
    }
};


subtest 'what comes in meanwhile' => sub {
    change();
    $fault->hold('active');

    my $client = ask('/metrics/active', 5, 7);

    ok $fault->held('active'), 'users are being counted';

    is $nginx->post('/events/', '{"user_id":"u0","event_type":"t",'
        . '"timestamp":"2026-01-05T12:00:00Z"}')->{status}, 201,
        'who was counted already was active then, too';

    push @{ $DAYS[1] }, 0;
    $events++;

    ok $fault->let_go('active'), 'it goes on';
    is $client->response('GET')->{status}, 200, 'it is answered';

    is_right(ask('/metrics/active', 5, 7), '/metrics/active', 5, 7)
        for 1 .. 2;
};


subtest 'a reload' => sub {
    change();
    $fault->hold('active');

    my ($worker) = $nginx->workers;
    my @clients = map { ask('/join', 5, 7) } 1 .. 2;

    ok $fault->held('active'), 'users are being counted';

    $nginx->signal('HUP');

    ok wait_for(sub { grep { $_ != $worker } $nginx->workers }),
        'there is another worker';
    others_go_on();

    ok $fault->let_go('active'), 'it goes on';
    is_right($_, '/join', 5, 7) for @clients;
    ok wait_for(sub { !grep { $_ == $worker } $nginx->workers }),
        'then the first one ends';
};


$nginx->stop;

done_testing;
