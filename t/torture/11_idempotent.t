# Copyright (C) The nginx analytics authors

# A request that comes again, with an Idempotency-Key or with events that have
# ids of their own, is answered as it was and counted once: at the same time,
# across workers, killed processes, restarts and reloads.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep);

use Analytics::Client;
use Analytics::Load;
use Analytics::Test;
use Analytics::Torture;

my $nginx = Analytics::Torture->new(id => 1,
    log => 'segment 256k; checkpoint size=1m time=1s;')->start;

my $counted = 0;

my $YESTERDAY = Analytics::Oracle::instant(time - 86400);


sub total { return $nginx->json('/stats/total')->{total_events} }


sub again {
    my ($key, $body, %arg) = @_;

    return $nginx->post('/events/', $body, %arg,
        headers => defined $key ? ["Idempotency-Key: $key"] : []);
}


# Sends a request twice: the same answer, counted as so many events.

sub twice {
    my ($name, $key, $body, $count) = @_;

    subtest $name => sub {
        my $first = again($key, $body);

        is $first->{status}, 201, 'is stored' or diag $first->{body};
        $counted += $count;

        for my $n (2, 3) {
            my $more = again($key, $body);

            is $more->{status}, 201, "time $n";
            is $more->{body}, $first->{body}, 'the same answer';
        }

        is total(), $counted, "counted once: $count";
    };
}


sub event {
    my ($user, %more) = @_;

    return '{"user_id":"' . $user . '","event_type":"t"' . join('', map {
        ",\"$_\":\"$more{$_}\""
    } sort keys %more) . '}';
}


my $long = '[' . join(',', map {
    "{\"user_id\":\"long\",\"event_type\":\"t\",\"metadata\":{\"n\":$_,\"pad\":\""
        . 'x' x 600 . '"}}'
} 1 .. 5000) . ']';

my @KEYED = (
    [ 'an event', 'k1', event('a', timestamp => $YESTERDAY), 1 ],
    [ 'an event without a time', 'k2', event('a'), 1 ],
    [ 'a list', 'k3', '[' . join(',', map { event("u$_") } 1 .. 50) . ']', 50 ],
    [ 'lines', 'k4', join("\n", map { event("u$_") } 1 .. 5), 5 ],
    [ 'an empty list', 'k5', '[]', 0 ],
    [ 'a list of 3 MB', 'k6', $long, 5000 ],
    [ 'the longest key', 'k' x 255, event('a'), 1 ],
    [ 'an event with an id', undef, event('a', message_id => 'm1'), 1 ],
    [ 'a list with ids', undef, '[' . join(',', map {
        event("u$_", message_id => "list $_") } 1 .. 20) . ']', 20 ],
    [ 'a list with ids and a key', 'k7', '[' . join(',', map {
        event("u$_", message_id => "both $_") } 1 .. 20) . ']', 20 ],
    [ 'duplicates inside a list', undef, '[' . join(',', map {
        event('same', message_id => 'inside ' . $_ % 3) } 1 .. 9) . ']', 3 ],
);

twice(@$_) for @KEYED;


subtest 'some of a list are known' => sub {
    my $answer = again(undef, '[' . join(',', map {
        event("u$_", message_id => "list $_") } 11 .. 30) . ']');

    is $answer->{status}, 201, 'is stored';
    $counted += 10;
    is total(), $counted, 'the others are counted';
};


subtest 'another body' => sub {
    is_problem again('k1', event('b')), 422, qr/Idempotency-Key/,
        'of a key that is known';
    is_problem again('k6', '[' . event('b') . ']'), 422, qr/Idempotency-Key/,
        'of a long list';
    is_problem again(undef, event('b', message_id => 'm1')), 422,
        qr/message_id/, 'of an event that is known';
    is_problem again(undef, '[' . event('c') . ','
        . event('b', message_id => 'm1') . ']'), 422, qr/message_id/,
        'and nothing of a list with it';
    is total(), $counted, 'nothing is counted';
};


subtest 'keys that are none' => sub {
    is again('k' x 256, event('a'))->{status} =~ /^4/ ? 'refused' : 'taken',
        'refused', 'too long';
    is total(), $counted, 'nothing is counted';
};


# The answers of all of them, in one text.

sub answers {
    return join "\n", map {
        my $answer = again($_->[1], $_->[2]);
        "$answer->{status} $answer->{body}";
    } @KEYED;
}


my $before = answers();

is total(), $counted, 'none of it counts again';

subtest 'across' => sub {
    $nginx->kill_at_once->restart;
    is answers(), $before, 'killed processes';

    ok $nginx->reload, 'reload';
    is answers(), $before, 'a reload';

    ok $nginx->reload(zone => '24m'), 'reload';
    ok $nginx->ready, 'the zone is ready';
    is answers(), $before, 'another size';

    # a checkpoint holds them, too

    ok wait_for(sub { glob $nginx->data . '/[0-9]*.checkpoint' }), 'a checkpoint';
    $nginx->kill_at_once->restart;
    is answers(), $before, 'a checkpoint';

    my ($worker) = $nginx->workers;
    kill 'KILL', $worker;
    ok wait_for(sub {
        my @now = $nginx->workers;
        return @now == 2 && !grep { $_ == $worker } @now;
    }), 'another worker comes';
    is answers(), $before, 'a killed worker';

    is total(), $counted, 'none of it counts again';
};


subtest 'at the same time' => sub {
    for my $round (1 .. (long() ? 200 : 20)) {
        my $ids  = $round % 2;
        my $body = '[' . join(',', map {
            event("round $round", $ids ? (message_id => "$round/$_") : ())
        } 1 .. 1 + $round % 40) . ']';

        my $sent = 0;
        my %answers;

        Analytics::Load::run(
            port => $nginx->port, connections => 12,
            next => sub {
                return undef if $sent++ == 12;

                return Analytics::Client::format_request('POST', '/events/',
                    type => 'application/json', body => $body,
                    headers => $ids ? [] : ["Idempotency-Key: same $round"]);
            },
            done => sub { $answers{"$_[0]{status} $_[0]{body}"}++ },
            lost => sub { $answers{lost}++ },
        );

        $counted += 1 + $round % 40;

        is scalar keys %answers, 1, 'all get the same answer'
            or diag explain(\%answers) and last;
        like +(keys %answers)[0], qr/^201 /, 'it is stored' or last;
    }

    is total(), $counted, 'counted once';
};


subtest 'what the log says' => sub {
    my $log = $nginx->log;

    is scalar @{ $log->{events} }, $counted, 'each event once';

    my %own;

    $own{ $_->{own} }++ for grep { defined $_->{own} } @{ $log->{events} };

    is_deeply [ grep { $own{$_} > 1 } keys %own ], [], 'and each id once';

    my %keys = map { $_->{hash} => $_ } @{ $log->{keys} };
    my $hash = sub {
        return Analytics::Log::key_hash($log->{segments}[0]{key}, $_[0]);
    };

    ok $keys{ $hash->($_->[1]) }, "the key of $_->[0]"
        for grep { defined $_->[1] && $_->[3] } @KEYED;
    is $keys{ $hash->('k6') }{done}, 5000,
        'the last record of a long list says all of it';

    my $text = join '', map { Analytics::Test::read_file($_) }
        grep { -f } glob $nginx->data . '/*';

    is index($text, 'k' x 255), -1, 'no file has the text of a key';
};

$nginx->settle('the accounts');
$nginx->stop;


# Clients that send again until they are answered, whatever dies.

sub retried {
    my ($name, $nginx, %arg) = @_;

    subtest $name => sub {
        $nginx->start;

        my $sender = $nginx->sender(clients => 6, again => 1, pause => 0.005,
            %arg)->start;
        my $rounds = 0;

        for my $round (1 .. (long() ? 60 : 12)) {
            $nginx->more(200) or last;
            sleep rand 0.1;

            if ($round % 3) {
                my @workers = $nginx->workers;
                kill 'KILL', $workers[ rand @workers ] if @workers;
            } else {
                $nginx->kill_at_once->restart;
            }

            $rounds++;
        }

        cmp_ok $rounds, '>=', 9, "$rounds times";
        ok $nginx->more(100), 'the load goes on';
        $sender->stop;

        my $sum = $sender->summary;

        is_json [ @$sum{qw(refused lost open)} ], '[null,null,null]',
            'every request was acknowledged in the end';
        $nginx->settle('the accounts', $sender);
        $nginx->stop;
    };
}


# refused while the keys are being read again, and then taken

retried('by key', Analytics::Torture->new, keys => 1);
retried('by id', Analytics::Torture->new(id => 1));


done_testing;
