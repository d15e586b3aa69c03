# Copyright (C) The nginx analytics authors

# Single events can be asked for as soon as they are acknowledged, whether they
# are in the log alone or in the store already; what a question cannot mean is
# refused and named; an answer of any size is sent in pieces.

use strict;
use warnings;

use Fcntl qw(:flock);
use IO::Socket::INET;
use JSON::PP ();
use Test::More;
use Time::HiRes qw(time);

use Analytics::Test;

my $nginx = Analytics::Test->new(
    zone => '64m', path => 1, log => 'store on; sync off;', workers => 1,
)->start;
my $client = $nginx->connect;
my $json   = JSON::PP->new->canonical;


sub get { return $client->request(GET => $_[0]) }

sub rows { return get($_[0])->json }

sub ids { return [map { $_->{id} } @{ rows($_[0]) }] }


# Times of events, out of order and with two alike; ids are 1 to 6.

my @EVENTS = map { {
    user_id => $_->[0], event_type => $_->[1],
    timestamp => "2025-10-04T$_->[2]Z", metadata => { n => $_->[3] },
} } (
    ['ann', 'login',    '10:00:00', 1],
    ['bob', 'login',    '09:00:00', 2],
    ['ann', 'logout',   '11:00:00', 3],
    ['cyd', 'purchase', '09:00:00', 4],
    ['ann', 'login',    '08:30:00.5', 5],
    ["\x{e9} &=/?", 'a b+c', '12:00:00', 6],
);

my @posted = map {
    $nginx->post('/events/', JSON::PP->new->utf8->encode($_))->json
} @EVENTS;

my @BY_TIME = (5, 2, 4, 1, 3, 6);


subtest 'the list has the form of the answer to the POST' => sub {
    my %by_id = map { $_->{id} => $_ } @posted;

    is_deeply rows('/events/'), [map { $by_id{$_} } @BY_TIME], 'by time, then id';
    is_deeply rows('/events'), rows('/events/'), 'without a slash, too';
    is_deeply ids('/events/?order=desc'), [reverse @BY_TIME], 'the latest first';
    is_deeply ids('/events/?user_id=&event_type=&from=&to=&skip=0&limit=100'),
        [@BY_TIME], 'empty parameters ask for nothing';
};


subtest 'filters' => sub {
    is_deeply ids('/events/?user_id=ann'), [5, 1, 3], 'a user';
    is_deeply ids('/events/?event_type=login'), [5, 2, 1], 'a type';
    is_deeply ids('/events/?user_id=ann&event_type=login'), [5, 1], 'both';
    is_deeply ids('/events/?user_id=ANN'), [], 'names are told apart by case';
    is_deeply ids('/events/?user_id=%C3%A9+%26%3D%2F%3F'), [6],
        'a name of any bytes';
    is_deeply ids('/events/?event_type=a%20b%2Bc'), [6], 'and a type';
    is_deeply ids('/events/?from=2025-10-04T09:00:00Z'), [2, 4, 1, 3, 6],
        'from is included';
    is_deeply ids('/events/?to=2025-10-04T09:00:00Z'), [5], 'to is not';
    is_deeply ids('/events/?from=2025-10-04T11:00:00%2B02:00'
        . '&to=2025-10-04T12:00:00+02:00'), [2, 4], 'with an offset';
    is_deeply ids('/events/?from=2025-10-04T09:00:00Z&to=2025-10-04T09:00:00Z'),
        [], 'an empty range';
    is_deeply ids('/events/?skip=1&limit=2'), [2, 4], 'skip and limit';
    is_deeply ids('/events/?skip=6'), [], 'skip all';
};


subtest 'a wrong parameter is named' => sub {
    for (
        ['colour=red', 'colour'], ['User_id=ann', 'User_id'],
        ['user_id=ann&user_id=bob', 'user_id'], ['limit=0', 'limit'],
        ['limit=1001', 'limit'], ['limit=ten', 'limit'], ['limit=-1', 'limit'],
        ['limit=99999999999999999999', 'limit'], ['skip=100001', 'skip'],
        ['skip=-1', 'skip'], ['order=up', 'order'], ['from=yesterday', 'from'],
        ['to=2025-13-01T00:00:00Z', 'to'], ['after=1', 'after'],
        ['after=1-x', 'after'], ['after=1-1&skip=2', 'skip'],
        ['from=2025-10-05T00:00:00Z&to=2025-10-04T00:00:00Z', 'from'],
        ['user_id=%FF', 'user_id'], ['user_id=%zz', 'user_id'],
        ['user_id=' . 'x' x 256, 'user_id'], ['event_type=%ED%A0%80', 'event_type'],
        ['format=csv', 'format'], ['%FF%00=1', '??'],
    ) {
        my ($args, $field) = @$_;

        my $answer = get("/events/?$args");

        is $answer->{status}, 422, substr $args, 0, 60;
        is $answer->json->{errors}[0]{field}, $field, 'it is named';
        like $answer->json->{detail}, qr/^\Q$field\E /, 'also for people';
    }

    is get('/api/events?user_id=06')->{status}, 422, 'no integer';
    is get('/events/export?limit=1')->{status}, 422, 'an export has no pages';
    is get('/events/export?format=xml')->{status}, 422, 'nor any format';
};


subtest 'methods' => sub {
    is $client->request(HEAD => '/events/')->{status}, 200, 'HEAD';
    is $client->request(PUT => '/events/', body => '')->header('Allow'),
        'GET, HEAD, POST, OPTIONS', 'a location that does both';
    is $client->request(POST => '/api/events', body => '')->header('Allow'),
        'GET, HEAD, OPTIONS', 'one that shows';
    is $client->request(OPTIONS => '/events/')->{status}, 204, 'OPTIONS';
};


subtest 'activities: by the time they were recorded' => sub {
    my $answer = $client->request(POST => '/api/event',
        type => 'application/json',
        body => '{"user_id":6,"event_action_timestamp":'
            . '"2025-10-12T21:27:08.034Z","action":"deleted",'
            . '"metadata":{"a":[1, 2]}}');

    is $answer->{status}, 201, 'created';
    is $answer->{body}, '', 'with no body';

    my $recorded = rows('/events/?user_id=6');

    is $recorded->[0]{id}, 7, 'it is an event like the others';

    $answer = get('/api/events?user_id=6');

    is_deeply $answer->json, [{
        user_id => 6, event_action_timestamp => '2025-10-12T21:27:08.034Z',
        action => 'deleted', metadata => { a => [1, 2] },
    }], 'as the API has it';
    like $answer->{body}, qr/"user_id":6,/, 'the user is an integer';

    is_deeply [map { $_->{metadata}{n} } @{ rows('/api/events') }[0 .. 5]],
        [1 .. 6], 'all are in the order of receipt';
    is_deeply rows('/api/events?to=2025-12-31T00:00:00Z'), [],
        'and were recorded now, not when they happened';
    is scalar @{ rows('/api/events?from=2025-12-31T00:00:00Z') }, 7,
        'so they are there';
};


# Enough for parts of the store.  Some have a time of their own.

my $N     = 70_000;
my $START = 1_700_000_000;
my @all;

for my $batch (0 .. $N / 1000 - 1) {
    my @lines;

    for my $i ($batch * 1000 .. $batch * 1000 + 999) {
        my $event = {
            user_id    => 'u' . $i * 7919 % 101,
            event_type => 't' . $i * 104_729 % 7,
            metadata   => { n => $i },
        };

        my $sec = $START + $i * 31 % 9973;
        my ($s, $m, $h, $d, $mon, $y) = gmtime $sec;

        $event->{timestamp} = sprintf '%04d-%02d-%02dT%02d:%02d:%02dZ',
            $y + 1900, $mon + 1, $d, $h, $m, $s;

        push @all, { %$event, id => 8 + $i, sec => $sec };
        push @lines, $json->encode($event);
    }

    my $answer = $client->request(POST => '/events/',
        type => 'application/x-ndjson', body => join "\n", @lines);

    $answer->{status} == 201 or die "not taken: $answer->{body}\n";
}


sub expected {
    my ($match, $reverse) = @_;

    my @found = sort { $a->{sec} <=> $b->{sec} || $a->{id} <=> $b->{id} }
        grep { $match->($_) } @all;

    return map { $_->{id} } $reverse ? reverse @found : @found;
}


my @u5 = expected(sub { $_[0]{user_id} eq 'u5' });
my @few = expected(sub { $_[0]{event_type} eq 't3'
    && $_[0]{sec} >= $START && $_[0]{sec} < $START + 100 }, 1);

my $FEW = '/events/?event_type=t3&order=desc&limit=1000'
    . '&from=2023-11-14T22:13:20Z&to=2023-11-14T22:15:00Z';


sub follow {
    my ($path) = @_;

    my (@ids, $pages);

    while ($path) {
        my $answer = get($path);

        push @ids, map { $_->{id} } @{ $answer->json };
        ($path) = ($answer->header('Link') // '') =~ /^<(.*)>; rel="next"$/;
        die 'does not end' if $pages++ > 2000;
    }

    return \@ids;
}


sub asked {
    my ($when) = @_;

    is_deeply ids('/events/?user_id=u5&limit=1000'), [@u5[0 .. $#u5]],
        "a user, $when";
    is_deeply ids($FEW), \@few, "a type in a range, backwards, $when";
    is_deeply follow('/events/?user_id=u5&limit=50'), \@u5,
        "page by page, $when";
    is_deeply follow('/events/?user_id=u5&limit=50&order=desc'),
        [reverse @u5], "and backwards, $when";
    is_deeply ids('/events/?user_id=u5&skip=600&limit=7'), [@u5[600 .. 606]],
        "far behind, $when";
}


subtest 'the store is filled behind the log, and answers stay the same' => sub {
    asked('now');

    ok wait_for(sub {
        $nginx->health->{store}{parts}
    }), 'a part was written';

    asked('with a part');

    $nginx->stop;
    $nginx->start;
    $client = $nginx->connect;

    asked('after a restart');

    ok wait_for(sub { $nginx->health->{store}{bytes} > 1_000_000 }),
        'health: bytes';

    my $health = $nginx->health;

    is $health->{store}{missing_bytes}, 0, 'nothing is missing';
    cmp_ok $health->{disk_free_bytes}, '>', 0, 'free disk';
};


subtest 'export' => sub {
    my $answer = get('/events/export');

    is $answer->header('Content-Type'), 'application/x-ndjson', 'NDJSON';
    is $answer->header('Content-Disposition'),
        'attachment; filename="events.ndjson"', 'to be saved';

    my @lines = split /\n/, $answer->{body};

    is_deeply [map { $json->decode($_)->{id} } @lines],
        [expected(sub { 1 }), @BY_TIME, 7], 'all events';

    $answer = get('/events/export?format=json&user_id=u5');
    is_deeply [map { $_->{id} } @{ $answer->json }], \@u5, 'JSON';

    $answer = get('/events/export?format=csv&to=2025-11-01T00:00:00Z'
        . '&from=2025-01-01T00:00:00Z&event_type=a+b%2Bc');

    is $answer->header('Content-Type'), 'text/csv; charset=utf-8', 'CSV';
    is $answer->{body}, "id,user_id,event_type,timestamp,metadata\r\n"
        . "6,\xc3\xa9 &=/?,a b+c,2025-10-04T12:00:00Z,\"{\"\"n\"\":6}\"\r\n",
        'with its quotes';
};


subtest 'cells that a spreadsheet would run are defused' => sub {
    for my $user ('=1+1', '+x', '-x', '@x', '-5', '=a,b', 'a"b') {
        my $body = $json->encode({ user_id => $user, event_type => 'formula' });

        is $nginx->post('/events/', $body)->{status}, 201, 'posted';
    }

    my @cells = map { /^\d+,(.*),formula,/s ? $1 : () }
        split /\r\n/, get('/events/export?format=csv&event_type=formula')->{body};

    is_deeply \@cells, ["'=1+1", "'+x", "'-x", "'\@x", '-5',
        "\"'=a,b\"", '"a""b"'], 'with an apostrophe';
};


subtest 'a page larger than a chunk has its Link, and all of its rows' => sub {
    my $big = 'x' x 30_000;
    my $body = join "\n", map {
        $json->encode({ user_id => 'big', event_type => 'big',
            metadata => { n => $_, x => $big } })
    } 1 .. 60;

    is $client->request(POST => '/events/', body => $body,
        type => 'application/x-ndjson')->{status}, 201, 'posted';

    my $answer = get('/events/?user_id=big&limit=50');

    is_deeply [map { $_->{metadata}{n} } @{ $answer->json }], [1 .. 50],
        'the page';
    is length $answer->json->[49]{metadata}{x}, 30_000, 'whole';

    is scalar @{ follow('/events/?user_id=big&limit=50') }, 60, 'and the next';
    is scalar @{ follow('/events/?user_id=big&limit=60') }, 60,
        'there is none behind the last';
    is get('/events/?user_id=big&limit=60')->header('Link'), undef, 'nor a Link';
};


subtest 'a client that leaves in the middle leaves nothing behind' => sub {
    for (1 .. 20) {
        my $leaver = $nginx->connect;

        $leaver->send_raw("GET /events/export HTTP/1.1\r\nHost: a\r\n\r\n");
        sysread $leaver->{socket}, my $buffer, 1000 if $_ % 2;
        $leaver->close;
    }

    is scalar @{ rows('/events/?user_id=u5&limit=10') }, 10, 'others are served';
};


subtest 'nginx that is told to quit finishes an export' => sub {
    my $slow = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $nginx->port) or die;

    $slow->print("GET /events/export HTTP/1.1\r\nHost: a\r\n"
        . "Connection: close\r\n\r\n");
    read $slow, my $begin, 100;

    my ($old) = $nginx->workers;

    $nginx->signal('HUP');

    ok wait_for(sub {
        my @now = $nginx->workers;
        return @now == 1 && $now[0] != $old;
    }), 'another worker takes connections';

    my $rest = do { local $/; readline $slow };

    like $rest, qr/\r\n0\r\n\r\n\z/, 'to its end';
    is scalar(() = "$begin$rest" =~ /"id":/g),
        scalar @{ [split /\n/, $nginx->get('/events/export')->{body}] },
        'with all events';

    $client = $nginx->connect;
};


subtest 'a store too far behind is not waited for' => sub {
    open my $lease, '+<', $nginx->dir . '/data/lock.store' or die;
    flock $lease, LOCK_EX or die;

    my $line = $json->encode({ user_id => 'late', event_type => 'late' });
    my $body = join "\n", ($line) x 10_000;

    for (1 .. 24) {
        $client->request(POST => '/events/', body => $body,
            type => 'application/x-ndjson')->{status} == 201 or die;
    }

    my $answer = get('/events/?user_id=late');

    is $answer->{status}, 503, 'refused';
    like $answer->json->{detail}, qr/the store is 2\d{5} events behind/, 'why';
    ok $answer->header('Retry-After'), 'to be tried again';

    close $lease;

    ok wait_for(sub { get('/events/?user_id=late')->{status} == 200 }),
        'when it has caught up, it answers';
};


$nginx->stop;
done_testing;
