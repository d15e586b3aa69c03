# Copyright (C) The nginx analytics authors

# Workers fold at the same time, and requests share a lock: every event is
# counted once.

use strict;
use warnings;

use Test::More;

use Analytics::Client;
use Analytics::Load;
use Analytics::Test;

# the kernel spreads connections by their ports: both workers have some

my $nginx = Analytics::Test->new(listen => 'reuseport', body => '64m')->start;


# Sums that must all be the same.

sub figures {
    my %sum = (total => $nginx->json('/stats/total')->{total_events},
        map { $_ => 0 } qw(types users hours));

    $sum{types} += $_->{count} for @{ $nginx->json('/stats/by-event-type') };
    $sum{users} += $_->{count}
        for @{ $nginx->json('/stats/by-user?limit=1000') };
    $sum{hours} += $_->{count} for @{ $nginx->json('/stats/over-time?'
        . 'start=2025-01-01&end=2025-01-31&interval=hour') };

    return \%sum;
}


subtest 'large lists at the same time' => sub {
    my $events = 2000;
    my $list   = '[' . join(',', map {
        sprintf '{"user_id":"user %d","event_type":"type %d",'
            . '"timestamp":"2025-01-%02dT%02d:00:00Z"}',
            $_ % 100, $_ % 7, 1 + $_ % 31, $_ % 24
    } 1 .. $events) . ']';

    # several processes, for one would not keep two workers busy

    my @loads = map {
        Analytics::Load->start(port => $nginx->port, connections => 4,
            body => sub { $list })
    } 1 .. 3;

    ok wait_for(sub {
        $nginx->json('/stats/total')->{total_events} > 600 * $events
    }), 'a load of ' . 600 * $events . ' events and more';

    my $n = 0;

    for (map { $_->stop } @loads) {
        is_json $_->{other}, '{}', 'all of a process are accepted';
        is $_->{lost}, 0, 'and answered';
        $n += $_->{acknowledged} * $events;
    }

    is_json figures(), { map { $_ => $n } qw(total types users hours) },
        "all $n events are counted, once";
};


subtest 'many connections' => sub {
    my $had  = $nginx->json('/stats/total')->{total_events};
    my $sent = 0;
    my (%status, %ids);

    Analytics::Load::run(
        port        => $nginx->port,
        connections => 250,
        next        => sub {
            return undef if $sent == 20_000;

            return Analytics::Client::format_request('POST', '/events/',
                type => 'application/json', body => sprintf(
                '{"user_id":"user %d","event_type":"type %d",'
                . '"timestamp":"2025-01-01T00:00:00Z"}',
                $sent % 100, $sent++ % 7));
        },
        done => sub {
            $status{ $_[0]{status} }++;
            $ids{$1}++ if $_[0]{body} =~ /^\{"id":(\d+),/;
        },
        lost => sub { $status{lost}++ },
    );

    is_json \%status, { 201 => $sent }, 'all are accepted';
    is scalar keys %ids, $sent, 'each by a number of its own';
    is_json figures(), { map { $_ => $had + $sent } qw(total types users hours) },
        'all are counted, once';
};


$nginx->stop;


subtest 'more requests in one turn than share a lock' => sub {
    my $nginx = Analytics::Test->new(workers => 1)->start;

    my ($worker) = $nginx->workers;
    my @clients  = map { $nginx->connect } 1 .. 100;

    is $_->request(GET => '/health')->{status}, 200, 'connected'
        for @clients;

    # what comes while the worker sleeps, it finds all at once

    kill 'STOP', $worker;

    $_->send_raw(Analytics::Client::format_request('POST', '/events/',
        type => 'application/json', body => '[' . join(',',
            ('{"user_id":"u","event_type":"t"}') x 3) . ']')) for @clients;

    kill 'CONT', $worker;

    my @first = sort { $a <=> $b }
        map { $_->response('POST')->json->{first_id} } @clients;

    is_json \@first, [ map { $_ * 3 + 1 } 0 .. 99 ],
        'each is answered, by numbers of its own';
    is $nginx->json('/stats/total')->{total_events}, 300, 'and counted';

    $nginx->stop;
};


done_testing;
