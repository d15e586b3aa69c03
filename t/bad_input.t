# Copyright (C) The nginx analytics authors

# Bad input, each kind of it: it gets its answer, the connection stays usable,
# the zone is untouched, and the error log holds at most one line at "info"
# with nothing in it that the client sent.

use strict;
use warnings;

use IO::Compress::Gzip qw(gzip);
use Test::More;
use Time::HiRes qw(time);

use Analytics::Oracle;
use Analytics::Test;

my $nginx = Analytics::Test->new(
    body => '1m', buffer => '16k', workers => 1,
    formats => <<'CONF',
    analytics_format numbered {
        user user_id integer;
        type event_type;
        time at epoch;
    }

    analytics_format beacon {
        user user_id;
        type event_type;
        time at epoch_ms;
    }
CONF
    locations => <<'CONF',
        location = /numbered { analytics_collect site format=numbered; }
        location = /beacon   { analytics_collect site format=beacon; }
CONF
)->start;

# must never be seen in the error log
my $MARK = 'what-the-client-sent';

my $EVENT = '{"user_id":"' . $MARK . '","event_type":"b",'
    . '"timestamp":"2025-10-04T12:30:00Z","metadata":{"k":[1,true,null]}}';

is $nginx->post('/events/', '{"user_id":"first","event_type":"b"}')->{status},
    201, 'a good event';

my $client   = $nginx->connect;
my $before   = state();
my $log      = length $nginx->error_log;
my $requests = 0;


sub state {
    my $health = $nginx->json('/health')->{zones}{site};

    return { %$health, total => $nginx->json('/stats/total') };
}


# Sends a bad request and tests its answer and that the connection is usable.

sub refused {
    my ($name, $status, $mention, $body, %arg) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $path   = delete $arg{path}   // '/events/';
    my $method = delete $arg{method} // 'POST';

    my $answer = $client->request($method, $path, body => $body,
        type => 'application/json', %arg);

    $requests++;

    is_problem $answer, $status, $mention, $name;

    my $next = $client->request(GET => '/stats/total');

    if (!$next) {
        fail "$name: the connection stays usable";
        $client = $nginx->connect;

    } elsif ($next->{status} != 200
        || $next->json->{total_events} != $before->{total}{total_events})
    {
        fail "$name: the next answer is right and nothing was stored";
        diag "$next->{line} $next->{body}";
        $before = state();
    }
}


sub event_with {
    my ($field, $value) = @_;

    my %event = (user_id => "\"$MARK\"", event_type => '"b"', $field => $value);

    return '{' . join(',', map { "\"$_\":$event{$_}" } sort keys %event) . '}';
}


subtest 'not JSON' => sub {
    my $meta = '{"user_id":"a","event_type":"b","metadata":{"a":%s}}';

    refused("not JSON: $_", 400, undef, $_) for
        'hello', "{user_id:\"$MARK\"}", "{'user_id':'$MARK'}", 'NaN', 'tru',
        'nul', 'falsee', '-', '+1', '01', '1.', '.5', '1e', '1e+', '0x10',
        '"', '"\\', '"\x41"', '"\u12"', '"\u12G4"', '{', '}', '[', ']', ':',
        ',', '{]', '[}', '{"a"}', '{"a":}', '{"a":1,}', '{,}', '{"a" 1}',
        '{"a":1 "b":2}', '{1:2}', '{null:1}', '[1,]', '[,1]', '[1 2]',
        "$EVENT,", "// $MARK\n$EVENT", "/* */$EVENT", "\xef\xbb\xbf$EVENT",
        "user_id=$MARK&event_type=b", "<?xml version=\"1.0\"?><$MARK/>";

    refused("not JSON in metadata: $_", 400, undef, sprintf $meta, $_) for
        'NaN', 'Infinity', '-Infinity', '01', '-01', '1.e5', '.5', '1e', '+1',
        '--1', '0x1', 'True', 'undefined', "'x'", '"\q"', '"\u00g0"', '',
        '[1,]', '{"x":1,}', '{x:1}', '[1}', "\x0c1", "\xc2\xa01";
};


subtest 'truncated JSON' => sub {
    refused("cut behind byte $_", 400, undef, substr $EVENT, 0, $_)
        for 1 .. length($EVENT) - 1;

    refused('a list that does not end', 400, undef, "[$EVENT");
    refused('a list that does not go on', 400, undef, "[$EVENT,");
    refused('NDJSON that breaks off', 400, undef,
        "$EVENT\n" . substr($EVENT, 0, 40), type => 'application/x-ndjson');
};


subtest 'trailing garbage' => sub {
    refused("behind an event: $_", 400, undef, "$EVENT$_")
        for 'x', '}', ']', ',', '"', "\0", "\n\n$MARK", '1x';

    refused("behind a list: $_", 400, undef, "[$EVENT]$_")
        for 'x', ']', ',', "\0", "\n$MARK";
};


subtest 'a wrong root' => sub {
    refused("$_ is no event", 422, undef, $_)
        for "\"$MARK\"", '42', '-0.5e3', 'true', 'false', 'null', '""',
        '[1]', "[\"$MARK\"]", "[[$EVENT]]", '[null]', '[[]]', "[$EVENT,[]]";
};


subtest 'deep nesting' => sub {
    refused("$_ levels of arrays", 400, qr/nest|deep/, '[' x $_)
        for 65, 1000, 500_000;
    refused('objects', 400, qr/nest|deep/, '{"a":' x 100_000);
    refused('well formed', 400, qr/nest|deep/, '[' x 300 . ']' x 300);
    refused('in metadata', 400, qr/nest|deep/,
        event_with(metadata => '{"a":' . '[' x 100 . ']' x 100 . '}'));
    refused('in what is ignored', 400, qr/nest|deep/,
        event_with(ignored => '[' x 100 . ']' x 100));
};


subtest 'duplicate keys' => sub {
    for (['user_id', '"a"'], ['event_type', '"a"'], ['metadata', '{}'],
        ['timestamp', '"2025-10-04T12:30:00Z"'])
    {
        my ($field, $value) = @$_;

        my $event = event_with($field, $value);

        refused("$field twice", 422, qr/\b$field\b/,
            $event =~ s/\}$/,"$field":$value}/r);

        my $escaped = sprintf '\u%04x%s', ord $field, substr $field, 1;

        refused("$field, escaped once", 422, qr/\b$field\b/,
            $event =~ s/\}$/,"$escaped":$value}/r);
    }
};


subtest 'lone surrogates' => sub {
    for my $bad ('\ud800', '\udc00', '\uDBFF', '\ud800\ud800', '\ud800x',
        '\ud800\u0041', '\udc00\ud800', '\ud83d\ude00\ud83d', '\ud83d\n')
    {
        refused("$bad as a user", 400, undef, event_with(user_id => "\"$bad\""));
        refused("$bad in metadata", 400, undef,
            event_with(metadata => "{\"a\":\"$bad\"}"));
        refused("$bad as a name", 400, undef,
            event_with(metadata => "{\"$bad\":1}"));
        refused("$bad in what is ignored", 400, undef,
            event_with(ignored => "\"$bad\""));
    }
};


subtest 'invalid UTF-8' => sub {
    my @bad = ("\xff", "\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3(",
        "\xe0\x80\x80", "\xe0\x9f\xbf", "\xe2\x82", "\xe2\x82(",
        "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x80\x80\x80", "\xf0\x9f\x98",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80",
        "\xfe\xff", "caf\xe9");

    for my $bad (@bad) {
        my $name = unpack 'H*', $bad;

        refused("$name as a type", 400, undef,
            event_with(event_type => "\"$bad\""));
        refused("$name at the end of text", 400, undef,
            event_with(metadata => "{\"a\":\"text$bad\"}"));
        refused("$name as a name", 400, undef,
            event_with($bad => '1'));
        refused("$name outside of text", 400, undef, "$EVENT$bad");
    }
};


subtest 'NUL and control characters' => sub {
    for my $code (0 .. 8, 10 .. 31) {
        my $name = sprintf 'U+%04X', $code;
        my $raw  = chr $code;

        refused("$name, raw", 400, undef, event_with(user_id => "\"a${raw}b\""));
        refused("$name, raw in metadata", 400, undef,
            event_with(metadata => "{\"a\":\"$raw\"}"));
        refused("$name in a user, escaped", 422, qr/user_id/,
            event_with(user_id => sprintf '"%s\u%04x"', $MARK, $code));
        refused("$name in a type, escaped", 422, qr/event_type/,
            event_with(event_type => sprintf '"\u%04x"', $code));
    }

    refused('U+007F in a user', 422, qr/user_id/,
        event_with(user_id => "\"a\x7f\""));
    refused('U+007F in a user, escaped', 422, qr/user_id/,
        event_with(user_id => '"a\u007f"'));
    refused('U+0085 in a user', 422, qr/user_id/,
        event_with(user_id => "\"a\xc2\x85\""));
    refused('U+0085 in a user, escaped', 422, qr/user_id/,
        event_with(user_id => '"a\u0085"'));
    refused('\n and \t in a user', 422, qr/user_id/,
        event_with(user_id => '"a\n\tb"'));
    refused('NUL between tokens', 400, undef, "{\0}");
    refused('NUL before all', 400, undef, "\0$EVENT");
};


subtest 'numbers' => sub {
    refused("$_ where text is asked for", 422, qr/user_id/,
        event_with(user_id => $_))
        for 1, 0, -5, '1e400', '9007199254740993', '1.5', '9' x 400;

    refused("$_ where an integer is asked for", 422, qr/user_id/,
        event_with(user_id => $_), path => '/numbered')
        for '1.5', '1.0', '1e3', '9007199254740993', '-9007199254740993',
        '18446744073709551617', '1' . '0' x 30, '1e400', '-1e-400', '1E2', '9' x 400,
        '"5"', '""', 'true', 'null', '[5]', '{}';

    refused("$_ as a time in seconds", 422, qr/\bat\b/,
        '{"user_id":1,"event_type":"b","at":' . $_ . '}', path => '/numbered')
        for -1, -0.5, '1e400', '1e9', '9' x 400, '9223372036854775807',
        '9223372036854775808', '18446744073709551616', '253402300800',
        int(time) + 90_000, int(time) * 1000, '"1759581000"', 'true', '[]',
        '"2025-10-04T12:30:00Z"';

    refused("$_ as a time in milliseconds", 422, qr/\bat\b/,
        '{"user_id":"a","event_type":"b","at":' . $_ . '}', path => '/beacon')
        for -1, '1e400', '9' x 400, '9223372036854775807',
        '253402300800000', (int(time) + 90_000) . '000', 'false', '{}';
};


subtest 'missing, empty and overlong fields' => sub {
    refused('no member at all', 422, qr/user_id/, '{}');
    refused('no user', 422, qr/user_id/, '{"event_type":"b"}');
    refused('no type', 422, qr/event_type/, "{\"user_id\":\"$MARK\"}");
    refused('another case', 422, qr/user_id/,
        '{"User_ID":"a","event_type":"b"}');
    refused('a longer name', 422, qr/user_id/,
        '{"user_id2":"a","event_type":"b"}');
    refused('a name with a NUL behind', 422, qr/user_id/,
        '{"user_id\u0000":"a","event_type":"b"}');

    for my $field (qw(user_id event_type)) {
        refused("an empty $field", 422, qr/$field/, event_with($field, '""'));

        my $length = 0;

        refused("a $field of " . length($_) . ' bytes', 422, qr/$field/,
            event_with($field, "\"$_\""))
            for 'x' x 256, 'x' x 257, "\xc3\xa9" x 128, '\u00e9' x 128,
            '\ud83d\ude00' x 64, 'x' x 100_000;
    }
};


subtest 'wrong types' => sub {
    for my $field (qw(user_id event_type)) {
        refused("$_ as $field", 422, qr/$field/, event_with($field, $_))
            for 'null', 'true', 'false', '1', '[]', '{}', "[\"$MARK\"]";
    }

    refused("$_ as timestamp", 422, qr/timestamp/, event_with(timestamp => $_))
        for 'true', '1759581000', '1.5', '[]', '{}', '["2025-10-04"]';

    refused("$_ as metadata", 422, qr/metadata/, event_with(metadata => $_))
        for 'true', '1', '[]', "\"$MARK\"", '[{}]', '"{}"';
};


subtest 'impossible times' => sub {
    my $ahead = Analytics::Oracle::instant(time + 90_000);

    refused("\"$_\"", 422, qr/timestamp/, event_with(timestamp => "\"$_\""))
        for '', ' ', 'now', $MARK, '2025-10-04', '12:30:00Z',
        '2025-10-04T12:30:00', '2025-10-04T12:30Z', '2025-10-04T12Z',
        '2025-02-29T00:00:00Z', '2025-02-30T00:00:00Z', '1900-02-29T00:00:00Z',
        '2025-04-31T00:00:00Z', '2025-00-10T00:00:00Z', '2025-13-01T00:00:00Z',
        '2025-01-00T00:00:00Z', '2025-01-32T00:00:00Z', '2025-10-04T24:00:00Z',
        '2025-10-04T12:60:00Z', '2025-10-04T12:30:61Z', '2025-10-04T12:30:60Z',
        '2025-10-04T12:30:00+24:00', '2025-10-04T12:30:00+02:60',
        '2025-10-04T12:30:00+0200', '2025-10-04T12:30:00+02',
        '2025-10-04T12:30:00 UTC', '2025-10-04T12:30:00.Z',
        '2025-10-04T12:30:00,5Z', '2025-10-04T12:30:00Zx',
        ' 2025-10-04T12:30:00Z', '2025-10-04T12:30:00Z ',
        '2025-10-04T12:30:00Z\u0000', '2025/10/04T12:30:00Z',
        '25-10-04T12:30:00Z', '12025-10-04T12:30:00Z', '-2025-10-04T12:30:00Z',
        '2025-1-4T1:3:0Z', '2025-10-04X12:30:00Z', '2025-10-O4T12:30:00Z',
        '2025-10-04T12:30:00.' . '1' x 300,
        '1969-12-31T23:59:59Z', '1969-12-31T23:59:59.999999Z',
        '1970-01-01T00:00:00+00:01', '0000-01-01T00:00:00Z',
        '9999-12-31T23:59:59Z', '9999-12-31T23:59:59-23:59', $ahead;
};


subtest 'a list with bad events' => sub {
    my @bad = (event_with(user_id => '1'), event_with(event_type => '""'),
        event_with(timestamp => '"x"'), '7');

    for my $type ('application/json', 'application/x-ndjson') {
        my $body = join $type =~ /nd/ ? "\n" : ',', $EVENT, $bad[0], $EVENT,
            $bad[1], $bad[2], $EVENT, $bad[3];

        $body = "[$body]" unless $type =~ /nd/;

        refused("a bad list as $type", 422, undef, $body, type => $type);

        my $errors = $nginx->post('/events/', $body, type => $type)->json
            ->{errors};

        $requests++;

        is_json [ map { $_->{index} } @$errors ], '[1,3,4,6]',
            'tells which are bad';
        is_json [ map { $_->{field} } @{$errors}[0 .. 2] ],
            '["user_id","event_type","timestamp"]', 'and by which field';
        is scalar(grep { length $_->{detail} } @$errors), 4, 'and why';
    }

    my $errors = $nginx->post('/events/', '[' . join(',', $EVENT,
        ($bad[0]) x 100) . ']')->json->{errors};

    $requests++;

    is_json [ map { $_->{index} } @$errors ], [ 1 .. 20 ], 'the first 20';

    refused('syntax comes before sense', 400, undef, "[$bad[0],$EVENT,x]");
};


subtest 'bodies that are none' => sub {
    refused('an empty body', 400, undef, '');
    refused('only white space', 400, undef, " \r\n\t ");
    refused('no body', 400, undef, undef);
    refused('no body and no type', 415, undef, undef, type => undef);
    refused('an empty chunked body', 400, undef, "0\r\n\r\n",
        headers => ['Transfer-Encoding: chunked']);
};


subtest 'methods' => sub {
    refused($_, 405, undef, $EVENT, method => $_)
        for qw(PUT PATCH DELETE PROPFIND);
    refused('GET with a body', 405, undef, $EVENT, method => 'GET');
    refused('GET', 405, undef, undef, method => 'GET', type => undef);

    my $answer = $client->request(HEAD => '/events/');

    is $answer->{status}, 405, 'HEAD';
    like $answer->header('allow'), qr/POST/, 'HEAD: says what is allowed';
    is $client->request(GET => '/health')->{status}, 200, 'HEAD: no body';

    $requests++;
};


subtest 'bodies in other forms' => sub {
    refused('in chunks', 400, undef,
        Analytics::Client::chunked("$EVENT x", 7),
        headers => ['Transfer-Encoding: chunked']);

    # more than the buffer: it goes through a temporary file

    refused('in a temporary file', 400, undef,
        '[' . join(',', ($EVENT) x 1000) . "x$MARK]");
    refused('in a temporary file, and no event', 422, qr/user_id/,
        '[' . join(',', ($EVENT) x 1000) . ',{}]');

    gzip(\"[$EVENT,]", \my $bad) or die;
    refused('gzip', 400, undef, $bad, headers => ['Content-Encoding: gzip']);

    gzip(\"[$EVENT]", \my $good) or die;

    my $flipped = $good;
    substr($flipped, 20, 1) ^= "\x55";

    my @corrupt = (
        [ 'corrupt', $flipped ],
        [ 'cut short', substr $good, 0, length($good) - 9 ],
        [ 'without its end', substr $good, 0, length($good) - 4 ],
        [ 'only a header', substr $good, 0, 10 ],
        [ 'of another checksum', substr($good, 0, -8) . 'abcd'
            . substr($good, -4) ],
        [ 'of another length', substr($good, 0, -1) . 'x' ],
        [ 'followed by something', "$good$MARK" ],
        [ 'that is none', $EVENT ],
        [ 'that is empty', '' ],
    );

    refused("gzip $_->[0]", 400, undef, $_->[1],
        headers => ['Content-Encoding: gzip']) for @corrupt;

    gzip(\('[' . ' ' x 50_000_000 . ']'), \my $bomb, -Level => 9) or die;

    cmp_ok length $bomb, '<', 60_000, 'it would inflate a thousandfold';
    refused('a gzip bomb', 413, undef, $bomb,
        headers => ['Content-Encoding: gzip']);

    refused("in the coding $_", 415, qr/encod|coding/i, $EVENT,
        headers => ["Content-Encoding: $_"]) for 'br', 'zstd', 'gzip, gzip';
};


subtest 'content types' => sub {
    refused($_ // 'none', 415, undef, $EVENT, type => $_)
        for undef, 'text/plain', 'application/x-www-form-urlencoded',
        'multipart/form-data; boundary=x', 'application/jsonp',
        'application/json+x', 'application/jso', 'text/json2', '',
        'xapplication/json', 'application/xml', "x/$MARK";
};


subtest 'a client that leaves in the middle' => sub {
    my $large = "[" . join(',', ($EVENT) x 1000);

    for my $sent ('', '{', $EVENT, $large) {
        my $leaver = $nginx->connect;

        $leaver->send_raw("POST /events/ HTTP/1.1\r\nHost: x\r\n"
            . "Content-Type: application/json\r\n"
            . 'Content-Length: ' . (length($sent) + 10) . "\r\n\r\n$sent");
        $leaver->close;

        $requests++;
    }

    for my $chunks ("5\r\n[{\"us", "3\r\n[{}\r\n") {
        my $leaver = $nginx->connect;

        $leaver->send_raw("POST /events/ HTTP/1.1\r\nHost: x\r\n"
            . "Content-Type: application/json\r\n"
            . "Transfer-Encoding: chunked\r\n\r\n$chunks");
        $leaver->close;

        $requests++;
    }

    # nginx has seen them leave when it has answered somebody later

    is $nginx->get('/health')->{status}, 200, 'others are served';
};


subtest 'after all of this' => sub {
    my $after = state();

    is_json $after, $before, 'the zone is as it was';

    my @lines = grep {
        !/client \S+ closed keepalive connection|\[notice\].*start worker process/
    } split /\n/, substr $nginx->error_log, $log;

    is scalar(grep { !/\[info\]/ } @lines), 0, 'only lines at "info"'
        or diag join "\n", grep { !/\[info\]/ } @lines;
    cmp_ok scalar @lines, '<=', $requests, 'at most one for a request';
    is scalar(grep { /\Q$MARK\E/ } @lines), 0, 'nothing of what was sent'
        or diag join "\n", grep { /\Q$MARK\E/ } @lines;
    is scalar(grep { /[^\x20-\x7e]/ } @lines), 0, 'all of it is printable';

    note "$requests bad requests";
    note 'such as: ' . ($lines[ rand @lines ] // '') for 1 .. 5;
};


$nginx->stop;
done_testing;
