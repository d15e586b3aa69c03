# Copyright (C) The nginx analytics authors

# What is posted is accepted as it is meant, numbered, and answered as its
# format writes it.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);
use Time::Local qw(timegm);

use Analytics::Test;
use Analytics::Load;

my $nginx = Analytics::Test->new(
    formats => <<'CONF',
    analytics_format activity {
        user user_id integer;
        type action;
        time at epoch;
        properties details;
    }

    analytics_format beacon {
        user visitor;
        type name;
        time ms epoch_ms;
    }

    analytics_format ai_call {
        user user_id;
        type =ai_call;
        properties *;
    }

    analytics_format bare {
        user u;
        type t;
    }
CONF
    locations => <<'CONF',
        location = /activity { analytics_collect site format=activity; }
        location = /beacon   { analytics_collect site format=beacon any_type; }
        location = /ai       { analytics_collect site format=ai_call; }
        location = /bare     { analytics_collect site format=bare; }
CONF
)->start;

my $last_id = 0;


# Posts one event that must be accepted and returns the answer's body.

sub accepted {
    my ($path, $body, $name, %arg) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $answer = $nginx->post($path, $body, %arg);

    is $answer->{status}, 201, "$name: accepted" or diag $answer->{body};
    is $answer->header('content-type'), 'application/json', "$name: is JSON";

    return $answer->{body};
}


subtest 'one event is answered as it is stored' => sub {
    my $metadata = '{"page":"/home", "n":1}';

    is accepted('/events/', '{"user_id":"user_123","event_type":"page_view",'
        . '"timestamp":"2025-10-04T12:30:00.123456Z","metadata":' . $metadata
        . '}', 'complete'),
        '{"id":1,"user_id":"user_123","event_type":"page_view",'
        . '"timestamp":"2025-10-04T12:30:00.123456Z","metadata":' . $metadata
        . '}', 'complete: to the letter';

    is accepted('/events', ' { "metadata" : {} , "extra":[{"user_id":1}],'
        . "\t\"event_type\" : \"b\",\r\n \"user_id\":\"a\","
        . '"timestamp":"2025-10-04T12:30:00Z" } ' . "\n", 'in any order'),
        '{"id":2,"user_id":"a","event_type":"b",'
        . '"timestamp":"2025-10-04T12:30:00Z","metadata":{}}',
        'in any order: what no format maps is left out';

    for my $members ('', ',"metadata":null') {
        is accepted('/events/', '{"user_id":"a","event_type":"b",'
            . '"timestamp":"2025-10-04T12:30:00Z"' . $members . '}',
            "no metadata$members")
            =~ s/^\{"id":\d+,//r,
            '"user_id":"a","event_type":"b",'
            . '"timestamp":"2025-10-04T12:30:00Z","metadata":{}}',
            'no metadata is an empty object';
    }

    $last_id = 4;
};


subtest 'without a time it is the time of receipt' => sub {
    my $before = time;
    my $answer = accepted('/events/', '{"user_id":"now","event_type":"b"}',
        'now');
    my $after = time;

    $last_id++;

    my ($date, $fraction) = $answer
        =~ /"timestamp":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{3}|\.\d{6})?Z"/;

    ok defined $date, 'written as the other times are' or return;

    my @parts = split /[-T:]/, $date;
    my $time  = timegm(@parts[5, 4, 3, 2], $parts[1] - 1, $parts[0])
        + ($fraction // 0);

    # nginx looks at the clock once a turn of its event loop
    cmp_ok $time, '>=', $before - 2, 'not before the request';
    cmp_ok $time, '<=', $after + 1, 'not after the answer';
};


subtest 'metadata comes back byte for byte' => sub {
    my %metadata = (
        'odd spacing' => "{ \t\"a\" :\r\n[ 1 ,2\t, { } ] }",
        'an integer beyond 64 bits' => '{"n":123456789012345678901234567890}',
        'numbers as they were written' =>
            '{"a":1.0,"b":1e+05,"c":-0,"d":0.10,"e":1E400,"f":9007199254740993}',
        'escapes as they were written' =>
            '{"\u0061":"\/\u00e9\n\ud83d\ude00\u003c<"}',
        'UTF-8' => "{\"\xc3\xa9\":\"\xf0\x9f\x98\x80\"}",
        'members of one name' => '{"a":1,"a":2}',
        'members named like fields' =>
            '{"user_id":"x","metadata":{"metadata":{}},"id":0}',
        'deep, but not too deep' => '{"a":' . '[' x 40 . ']' x 40 . '}',
        'long' => '{"a":"' . 'x' x 100_000 . '"}',
    );

    for my $name (sort keys %metadata) {
        my $body = accepted('/events/', '{"user_id":"a","event_type":"b",'
            . '"timestamp":"2025-10-04T12:30:00Z","metadata":'
            . $metadata{$name} . "\n}", $name);

        my ($got) = $body =~ /"metadata":(.*)\}\z/s;

        ok $got eq $metadata{$name}, "$name: the same bytes"
            or diag substr $got, 0, 200;

        $last_id++;
    }
};


subtest 'lists in all their forms' => sub {
    my $event = '{"user_id":"list","event_type":"b"}';

    my @forms = (
        [ 'an array', 3, "[$event,$event, $event]" ],
        [ 'an array of one', 1, "[\n$event\n]\n" ],
        [ 'NDJSON', 3, "$event\n$event\n$event\n", 'application/x-ndjson' ],
        [ 'NDJSON, not ended', 2, "$event\n$event", 'application/x-ndjson' ],
        [ 'NDJSON, CRLF', 2, "$event\r\n$event\r\n", 'application/x-ndjson' ],
        [ 'NDJSON of one', 1, "$event\n", 'application/x-ndjson' ],
        [ 'NDJSON of one, not ended', 1, $event, 'application/x-ndjson' ],
        [ 'objects on lines', 2, "$event\n$event\n" ],
        [ 'objects side by side', 2, "$event$event" ],
    );

    for (@forms) {
        my ($name, $n, $body, $type) = @$_;

        is accepted('/events/', $body, $name, $type ? (type => $type) : ()),
            sprintf('{"accepted":%d,"first_id":%d,"last_id":%d}',
                $n, $last_id + 1, $last_id + $n),
            "$name: numbered behind the last";

        $last_id += $n;
    }

    for my $body ('[]', " [ \n] ") {
        is accepted('/events/', $body, 'an empty list'), '{"accepted":0}',
            'an empty list is accepted, too';
    }

    like accepted('/events/', $event, 'one object'),
        qr/^\{"id":@{[ ++$last_id ]},/, 'no number was lost on empty lists';
};


subtest 'times become UTC with as many digits as they need' => sub {
    my %times = (
        '2025-10-04T12:30:00Z'           => '2025-10-04T12:30:00Z',
        '2025-10-04t12:30:00z'           => '2025-10-04T12:30:00Z',
        '2025-10-04T12:30:00\u005a'      => '2025-10-04T12:30:00Z',
        '2025-10-04 12:30:00Z'           => '2025-10-04T12:30:00Z',
        '2025-10-04T12:30:00.5Z'         => '2025-10-04T12:30:00.500Z',
        '2025-10-04T12:30:00.000Z'       => '2025-10-04T12:30:00Z',
        '2025-10-04T12:30:00.1234Z'      => '2025-10-04T12:30:00.123400Z',
        '2025-10-04T12:30:00.123456Z'    => '2025-10-04T12:30:00.123456Z',
        '2025-10-04T12:30:00.123456789Z' => '2025-10-04T12:30:00.123456Z',
        '2025-10-04T12:30:00+00:00'      => '2025-10-04T12:30:00Z',
        '2025-10-04T12:30:00+05:30'      => '2025-10-04T07:00:00Z',
        '2025-10-04T01:30:00+02:00'      => '2025-10-03T23:30:00Z',
        '2024-12-31T23:30:00-01:00'      => '2025-01-01T00:30:00Z',
        '2024-02-29T00:00:00Z'           => '2024-02-29T00:00:00Z',
        '2000-02-29T23:59:59.999Z'       => '2000-02-29T23:59:59.999Z',
        '2016-12-31T23:59:60Z'           => '2017-01-01T00:00:00Z',
        '1970-01-01T00:00:00Z'           => '1970-01-01T00:00:00Z',
    );

    for my $time (sort keys %times) {
        my $body = accepted('/events/', '{"user_id":"a","event_type":"b",'
            . "\"timestamp\":\"$time\"}", $time);

        like $body, qr/"timestamp":"\Q$times{$time}\E"/, "$time: $times{$time}";

        $last_id++;
    }
};


subtest 'a format maps both ways' => sub {
    my @cases = (
        [ '/activity', '{"user_id":42,"action":"login","at":1759581000,'
            . '"details":{"x":1}}', '{"id":%d,"user_id":42,"action":"login",'
            . '"at":1759581000,"details":{"x":1}}', 'integer user, epoch' ],

        [ '/activity', '{"user_id":-7,"action":"login","at":1759581000.25}',
            '{"id":%d,"user_id":-7,"action":"login","at":1759581000.25,'
            . '"details":{}}', 'negative user, epoch with a fraction' ],

        [ '/activity', '{"user_id":9007199254740991,"action":"a",'
            . '"at":1759581000.000001}', '{"id":%d,"user_id":9007199254740991,'
            . '"action":"a","at":1759581000.000001,"details":{}}',
            'the largest integer of a user stays exact' ],

        [ '/beacon', '{"visitor":"v","name":"n","ms":1759581000123,"x":1}',
            '{"id":%d,"visitor":"v","name":"n","ms":1759581000123}',
            'epoch in milliseconds, no properties' ],
    );

    for (@cases) {
        my ($path, $body, $expected, $name) = @$_;

        is accepted($path, $body, $name), sprintf($expected, ++$last_id),
            "$name: written as it was read";
    }

    is_json $nginx->get('/stats/user-activity/9007199254740991'),
        '{"user_id":"9007199254740991","total_events":1,'
        . '"events_by_type":[{"event_type":"a","count":1}],'
        . '"first_event_at":"2025-10-04T12:30:00.000001Z",'
        . '"last_event_at":"2025-10-04T12:30:00.000001Z"}',
        'an integer user is a user by the same digits';

    is_json $nginx->get('/stats/user-activity/v'),
        '{"user_id":"v","total_events":1,'
        . '"events_by_type":[{"event_type":"n","count":1}],'
        . '"first_event_at":"2025-10-04T12:30:00.123Z",'
        . '"last_event_at":"2025-10-04T12:30:00.123Z"}',
        'milliseconds are milliseconds';
};


subtest 'constants and whole objects' => sub {
    my $sent = '{"model":"m-1","user_id":"ai user","tokens":[1, 2],'
        . '"cost":0.10}';
    my $body = accepted('/ai', $sent, 'ai_call');

    $last_id++;

    is_json data($body), "{\"id\":$last_id,\"user_id\":\"ai user\","
        . '"model":"m-1","tokens":[1,2],"cost":0.10}',
        'a number, a user, and what was sent';
    like $body, qr/"tokens":\[1, 2\]/, 'properties as they were sent';
    like $body, qr/"cost":0\.10\b/, 'numbers as they were sent';
    is scalar(() = $body =~ /"user_id":/g), 1, 'what is mapped comes once';

    is_json $nginx->get('/stats/user-activity/ai%20user')->json
        ->{events_by_type}, '[{"event_type":"ai_call","count":1}]',
        'the type is the constant';

    # ours and theirs cannot both be "id"

    my $named = $nginx->post('/ai', '{"user_id":"a","id":55,"x":1}');

    cmp_ok scalar(() = $named->{body} =~ /"id":/g), '<', 2, 'no member twice';
    $last_id++ if $named->{status} == 201;

    is accepted('/bare', '{"t":"type","u":"user"}', 'the least format'),
        sprintf('{"id":%d,"u":"user","t":"type"}', ++$last_id),
        'the least format: to the letter';
};


subtest 'names are text, however they are escaped' => sub {
    my @same = ("caf\xc3\xa9 \xf0\x9f\x98\x80/\"", 'caf\u00e9 \uD83D\uDE00\/\u0022',
        "caf\xc3\xa9\\u0020\\ud83d\\uDe00/\\\"");

    $same[0] =~ s/"/\\"/;

    for my $user (@same) {
        my $body = accepted('/events/',
            "{\"user_id\":\"$user\",\"event_type\":\"\\u0065scaped\"}", $user);

        is $last_id + 1, data($body)->{id}, 'numbered';
        is data($body)->{user_id},
            "caf\x{e9} \x{1f600}/\"", 'the same text in the answer';

        $last_id++;
    }

    is $nginx->json('/stats/user-activity/caf%c3%A9%20%f0%9f%98%80%2F%22')
        ->{total_events}, 3, 'it is one user';

    my ($type) = grep { $_->{event_type} eq 'escaped' }
        @{ $nginx->json('/stats/by-event-type') };

    is $type && $type->{count}, 3, 'and one type';
};


subtest 'names up to 255 bytes' => sub {
    my @names = ('x' x 255, "\xc3\xa9" x 127 . 'x', '\u00e9' x 127 . 'x', 'x',
        ' ', '0', '<script>alert(1)</script>', "\xe2\x80\xa8");

    for my $name (@names) {
        for my $field (qw(user_id event_type)) {
            my %event = (user_id => 'a', event_type => 'b', $field => $name);

            my $body = accepted('/events/', "{\"user_id\":\"$event{user_id}\","
                . "\"event_type\":\"$event{event_type}\"}",
                "$field of " . length($name) . ' bytes');

            is_json [ data($body)->{$field} ],
                "[\"$name\"]", 'the same text in the answer';
        }

        $last_id += 2;
    }
};


subtest 'content types' => sub {
    my $event = '{"visitor":"v","name":"n"}';

    for my $type ('application/json', 'Application/JSON',
        'application/json;charset=utf-8', 'application/json ; charset=UTF-8')
    {
        is $nginx->post('/events/', '[]', type => $type)->{status}, 201, $type;
    }

    for my $type ('text/plain;charset=UTF-8', 'x', undef) {
        is $nginx->post('/beacon', $event, type => $type)->{status}, 201,
            ($type // 'none') . ' where any type is taken';

        $last_id++;
    }
};


subtest 'numbers are consecutive over connections and workers' => sub {
    my ($requests, @ranges, %workers) = (0);

    Analytics::Load::run(
        port        => $nginx->port,
        connections => 16,
        next        => sub {
            return undef if $requests++ == 2000;

            my $n = $requests % 7 || 80;

            return Analytics::Client::format_request('POST', '/events/',
                type => 'application/json',
                body => '[' . join(',',
                    ('{"user_id":"n","event_type":"n"}') x $n) . ']');
        },
        done => sub {
            my ($answer) = @_;

            $workers{ $answer->header('x-worker') }++;

            push @ranges, [ $1, $2, $3 ] if $answer->{body}
                =~ /^\{"accepted":(\d+),"first_id":(\d+),"last_id":(\d+)\}$/;
        },
    );

    is scalar @ranges, 2000, 'all are accepted';

    my $broken = 0;

    for (sort { $a->[1] <=> $b->[1] } @ranges) {
        my ($n, $first, $last) = @$_;

        $broken++ if $first != $last_id + 1 || $last != $last_id + $n;

        $last_id = $last;
    }

    is $broken, 0, 'every list has numbers of its own, without a gap';
    is $nginx->json('/stats/total')->{total_events}, $last_id,
        'as many as there are events';

    note 'workers: ' . join ', ', %workers;
};


$nginx->stop;
done_testing;
