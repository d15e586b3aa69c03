# Copyright (C) The nginx analytics authors

# The configuration that is shipped: it works as it is, each of its files
# alone, and it is safe by default.

use strict;
use warnings;

use File::Basename qw(basename);
use IO::Socket::INET;
use Test::More;

use Analytics::Client;
use Analytics::Site;
use Analytics::Test;

my $CONF = Analytics::Test::root_dir() . '/conf';

my ($ok, $said) = Analytics::Site->new->check;

ok $ok, 'it passes nginx -t' or diag $said;
is join('', grep { !/syntax is ok|test is successful/ } split /\n/, $said), '',
    'without a warning';


subtest 'each file can be included alone' => sub {
    for my $file (map { basename($_) } glob "$CONF/*.conf") {
        next if $file =~ /^(?:site|zone|maps|figures)\.conf$/;

        my $maps = $file =~ /^(?:pages|server)/ ? 'include analytics/maps.conf;'
            : '';
        my $nginx = Analytics::Site->new(conf => <<"CONF");
load_module %MODULE%;
events { }
http {
    include analytics/zone.conf;
    $maps
    server { include analytics/$file; }
}
CONF
        my ($ok, $said) = $nginx->check;

        ok $ok, $file or diag $said;
    }
};


my $nginx = Analytics::Site->new->expect_log(
    qr/\[error\].*access forbidden by rule/,
    qr/\[error\].*client intended to send too large body/,
    qr/\[error\].*(?:failed|not found) \(2: No such file/,
)->start;


subtest 'an event goes in and comes out' => sub {
    is $nginx->post('/events/', '{"user_id":"u","event_type":"t"}')->{status},
        201, 'collected';
    is $nginx->json('/stats/total')->{total_events}, 1, 'counted';
    is $nginx->json('/stats/user-activity/u')->{total_events}, 1, 'of its user';
    is $nginx->post('/usage', '{"user_id":"u","action_type":"t"}')->{status},
        201, 'under its other name';
    is_json $nginx->json('/stats/by-event-type'),
        '[{"event_type":"t","count":2}]', 'it is the same type';
};


subtest 'it is open to this machine only' => sub {
    my ($listen) = Analytics::Test::read_file("$CONF/site.conf")
        =~ /listen\s+([^;\s]+)/;

    is $listen, '127.0.0.1:8080', 'it listens here only';

    # a person's data: from another address even of this machine, no

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $nginx->port, LocalAddr => '127.0.0.2');

  SKIP: {
        skip 'there is no 127.0.0.2 here', 2 unless $socket;

        my $other = bless { socket => $socket, in => '' }, 'Analytics::Client';

        $socket->blocking(0);

        is $other->request(GET => '/stats/user-activity/u')->{status}, 403,
            'a person is shown to this machine only';
        is $other->request(GET => '/stats/total')->{status}, 200,
            'totals are shown to all that it listens to';
    }
};


subtest 'another name is dropped' => sub {
    for my $host ('evil.example', 'localhost.evil.example', '127.0.0.2') {
        my $client = $nginx->connect;

        ok !$client->request(GET => '/stats/total', host => $host),
            "Host: $host";
    }

    my $client = $nginx->connect;

    $client->send_raw("GET /stats/total HTTP/1.0\r\n\r\n");
    ok !$client->response('GET'), 'no Host at all';

    isnt $nginx->get('/stats/total', host => '')->{status}, 200,
        'an empty one';

    for my $host ('localhost', '127.0.0.1', 'localhost:' . $nginx->port,
        'LOCALHOST', '[::1]')
    {
        is $nginx->get('/stats/total', host => $host)->{status}, 200,
            "Host: $host";
    }
};


subtest 'no other site can post without being asked first' => sub {
    for my $type ('text/plain', 'application/x-www-form-urlencoded',
        'multipart/form-data; boundary=x')
    {
        is_problem $nginx->post('/events/', '{"user_id":"u","event_type":"t"}',
            type => $type), 415, undef, $type;
    }

    my $answer = $nginx->request('OPTIONS', '/events/', headers => [
        'Origin: http://evil.example', 'Access-Control-Request-Method: POST',
        'Access-Control-Request-Headers: content-type' ]);

    is $answer->header('access-control-allow-origin'), undef,
        'and is not let when it asks';
};


subtest 'the pages' => sub {
    for my $path ('/', '/docs', '/docs/', '/redoc', '/redoc/', '/api/swagger',
        '/api/swagger/')
    {
        my $answer = $nginx->get($path, headers => ['Accept: text/html,*/*']);
        my $csp = $answer->header('content-security-policy') // '';

        is $answer->{status}, 200, $path;
        like $answer->header('content-type'), qr{^text/html}, "$path: a page";
        like $csp, qr/\bdefault-src 'none'/, "$path: nothing by default";
        like $csp, qr/\bscript-src 'self'(?:;|$)/, "$path: our scripts alone";
        unlike $csp, qr/https?:|unsafe-eval/, "$path: from here alone";
        is $answer->header('x-content-type-options'), 'nosniff',
            "$path: nothing is guessed";
        unlike $answer->{body}, qr{(?:src|href)="(?:https?:)?//}i,
            "$path: loads nothing from elsewhere";

        # what it loads is there

        my %files = map { $_ => 1 } $answer->{body}
            =~ /(?:src|href)="([^"#:]+\.(?:js|css|svg))"/g;

        for my $file (sort keys %files) {
            $file = "/$file" =~ s{^//}{/}r;

            next if $file =~ m{/vendor/} && !Analytics::Site::staged();

            is $nginx->get($file)->{status}, 200, "$path: $file";
        }
    }

    my $answer = $nginx->get('/', headers => ['Accept: application/json']);

    is $answer->header('content-type'), 'application/json',
        'a client that asks for JSON';
    is $nginx->get($_)->{status}, 200, "the welcome's link $_"
        for grep { $_ ne '/events/' } values %{ $answer->json->{links} };
    like $answer->header('vary') // '', qr/Accept/i, 'Vary says so';

    is $nginx->get('/openapi.json')->header('content-type'), 'application/json',
        'the description is JSON';
    is $nginx->get($_)->{status}, 404, "$_ is not there"
        for '/nothing', '/events/x', '/stats', '/stats/', '/.htaccess';
};


subtest 'answers are compressed for those who want it' => sub {
    $nginx->post('/events/', '[' . join(',', map {
        "{\"user_id\":\"user $_\",\"event_type\":\"t\"}" } 1 .. 200) . ']');

    my $plain  = $nginx->get('/stats/by-user?limit=200');
    my $zipped = $nginx->get('/stats/by-user?limit=200',
        headers => ['Accept-Encoding: gzip']);

    is $zipped->header('content-encoding'), 'gzip', 'gzip';
    cmp_ok length $zipped->{body}, '<', length($plain->{body}) / 2, 'smaller';

    require IO::Uncompress::Gunzip;
    IO::Uncompress::Gunzip::gunzip(\$zipped->{body}, \my $body);

    is $body, $plain->{body}, 'the same';
};


subtest 'a body too large' => sub {
    my $client = $nginx->connect;

    $client->send_raw("POST /events/ HTTP/1.1\r\nHost: localhost\r\n"
        . "Content-Type: application/json\r\n"
        . "Content-Length: 100000000000\r\n\r\n[");

    is_problem $client->response('POST'), 413, undef, 'is a problem, too';
};


$nginx->stop;
done_testing;
