# Copyright (C) The nginx analytics authors

# A reload keeps every number, also under load; where a number cannot be kept
# the error log says so.

use strict;
use warnings;

use Test::More;

use Analytics::Client;
use Analytics::Load;
use Analytics::Oracle;
use Analytics::Test;

my $nginx = Analytics::Test->new(zone => '8m', listen => 'reuseport')->start;

my @ROUTES = ('/stats/total', '/stats/by-event-type', '/stats/by-user?limit=1000',
    '/stats/over-time?start=2025-01-01&end=2025-02-28&interval=hour',
    '/stats/user-activity/user%201', '/usage-summary');

my @events = Analytics::Oracle::random_events(11, 3000, 200, 9, 1735689600,
    30 * 86400);


sub fill {
    my $answer = $nginx->post('/events/', join("\n", map {
        sprintf '{"user_id":"%s","event_type":"%s","timestamp":"%s"}',
            $_->{user}, $_->{type}, Analytics::Oracle::instant($_->{time})
    } @events), type => 'application/x-ndjson');

    is $answer->{status}, 201, 'events are taken';

    return $answer->json->{first_id};
}


sub everything {
    my ($client) = @_;

    $client //= $nginx->connect;

    return { map { $_ => $client->request(GET => $_)->json } @ROUTES };
}


sub total {
    return $nginx->json('/stats/total')->{total_events};
}


is fill(), 1, 'the first is number 1';

my $before = everything();

is_json $before->{'/stats/by-event-type'},
    Analytics::Oracle->new(@events)->by_type, 'as counted independently';


subtest 'every worker tells the same' => sub {
    my %seen;

    # the kernel spreads connections by their ports: some are sure to come to
    # each of the workers

    ok wait_for(sub {
        my $client = $nginx->connect;
        my $worker = $client->request(GET => '/health')->header('x-worker');

        is_json everything($client), $before, "worker $worker"
            unless $seen{$worker}++;

        return keys %seen == 2;
    }), 'both were asked';
};


subtest 'the same size keeps every number' => sub {
    for (1 .. 3) {
        ok $nginx->reload, 'reload';
        is_json everything(), $before, 'every number is kept';
    }

    is $nginx->post('/events/', '{"user_id":"a","event_type":"b"}')
        ->json->{id}, 3001, 'numbers go on';
};


subtest 'under load nothing is lost or doubled' => sub {
    my $had  = total();
    my $load = Analytics::Load->start(
        port => $nginx->port, connections => 8,
        body => sub {
            my ($n) = @_;
            my $event = sprintf '{"user_id":"load %d","event_type":"load"}',
                $n % 100;
            return '[' . join(',', ($event) x 10) . ']';
        },
    );

    for (1 .. 5) {
        my $total = total();

        ok $nginx->reload, 'reload';
        ok wait_for(sub { total() > $total }), 'the load goes on';
    }

    my $count = $load->stop;
    my $got   = total() - $had;

    is_json $count->{other}, '{}', 'no request is refused';
    cmp_ok $count->{acknowledged}, '>', 50, 'there was a load';
    cmp_ok $got, '>=', $count->{acknowledged} * 10,
        'what was acknowledged is counted';
    cmp_ok $got, '<=', ($count->{acknowledged} + $count->{lost}) * 10,
        'nothing is counted twice';

    note explain $count;
};


sub old_worker {
    my ($n) = @_;

    my $had    = total();
    my $client = $nginx->connect;
    my $bytes  = Analytics::Client::format_request('POST', '/events/',
        type => 'application/json', body => '[' . join(',',
            ("{\"user_id\":\"old $n\",\"event_type\":\"old worker\"}") x $n)
            . ']');

    my $worker = $client->request(GET => '/health')->header('x-worker');

    $client->send_raw(substr $bytes, 0, -100);

    # the worker has read the header once it answers somebody else; a stranger
    # may come to the other one

    ok wait_for(sub {
        $nginx->get('/health')->header('x-worker') == $worker
    }), 'the old worker has begun';

    my %old = map { $_ => 1 } $nginx->workers;

    $nginx->signal('HUP');

    ok wait_for(sub {
        my $found = $nginx->processes;
        return ($found->{$worker} // '') =~ /shutting down/
            && 2 == grep { !$old{$_} } $nginx->workers;
    }), 'a new generation serves, the old one still has a request';

    is $nginx->post('/events/', '{"user_id":"new","event_type":"b"}')
        ->{status}, 201, 'the new one folds';

    $client->send_raw(substr $bytes, -100);

    my $answer = $client->response('POST');

    is $answer && $answer->{status}, 201, 'the old one answers' or return;
    is $answer->header('x-worker'), $worker, 'it is the old one';
    is total(), $had + $n + 1, 'the new one tells what both have folded';
    is $nginx->json("/stats/user-activity/old%20$n")->{total_events}, $n,
        'user by user';

    # it would linger for what the client may still send
    $client->close;

    ok wait_for(sub { !$nginx->processes->{$worker} }), 'the old one ends';
}


subtest 'an old worker finishes into the same zone' => sub {
    old_worker(100);
};


# large enough for a thread

subtest 'also with a large list' => sub {
    old_worker(100_000);
};


subtest 'a configuration that cannot be' => sub {
    my $had = everything();

    $nginx->expect_log(qr/\[emerg\].*bogus/);

    ok !$nginx->reload(formats => 'analytics_format x { bogus y; }'),
        'is refused';
    is_json everything(), $had, 'the old one goes on with every number';

    $nginx->set(formats => '');
};


subtest 'another retention keeps every number that it covers' => sub {
    my $had = $nginx->json('/stats/total');

    ok $nginx->reload(retain => 'totals=3650d'), 'reload';
    is_json $nginx->json('/stats/total'), $had, 'totals stay';
    is $nginx->post('/events/', '{"user_id":"a","event_type":"b"}')->{status},
        201, 'and go on';
    ok $nginx->reload(retain => 'totals=all'), 'reload';
};


subtest 'another number of types' => sub {
    my $had = everything();
    my $log = length $nginx->error_log;

    $nginx->expect_log(qr/\[(?:notice|warn)\].*"?site"?.*types/);

    ok $nginx->reload(types => 500), 'reload';

    my $now = everything();

    like substr($nginx->error_log, $log), qr/site.*types|types.*site/,
        'the error log says what becomes of it';
    is_json $now, $had, 'every number is kept'
        if $now->{'/stats/total'}{total_events};
    is $nginx->post('/events/', '{"user_id":"a","event_type":"b"}')->{status},
        201, 'it goes on';
};


subtest 'another size starts empty and says so' => sub {
    my $log = length $nginx->error_log;

    $nginx->expect_log(qr/\[(?:notice|warn)\].*"site".*(?:empty|size)/);

    ok $nginx->reload(zone => '12m'), 'reload';

    like substr($nginx->error_log, $log),
        qr/^.*\[(?:notice|warn)\].*site.*(?:empty|size).*$/m,
        'the error log says so';
    is total(), 0, 'it is empty';
    is fill(), 1, 'it counts from 1';
    is_json everything(), $before, 'and then as before';
};


subtest 'more zones' => sub {
    ok $nginx->reload(
        http      => 'analytics_zone second 4m { types 10; }',
        locations => 'location = /second { analytics_collect second'
            . ' format=event; } location = /second/total {'
            . ' analytics_stats second total; }',
    ), 'another zone comes';

    is $nginx->post('/second', '{"user_id":"a","event_type":"b"}')
        ->json->{id}, 1, 'it counts for itself';
    is_json everything(), $before, 'the first one is not concerned';
    is_json [ sort keys %{ $nginx->json('/health')->{zones} } ],
        '["second","site"]', 'health tells both';

    ok $nginx->reload(http => '', locations => ''), 'it goes';
    is_json everything(), $before, 'the first one is not concerned';
};


$nginx->stop;
done_testing;
