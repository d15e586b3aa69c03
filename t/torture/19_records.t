# Copyright (C) The nginx analytics authors

# A body of up to 1 MB is one record of the log, whatever is in it, and so
# taken as a whole or not at all; and what comes together fits into one.

use strict;
use warnings;

use Fcntl qw(LOCK_EX LOCK_UN);
use Test::More;

use Analytics::Client;
use Analytics::Test;
use Analytics::Torture;

my $TYPE  = 't' x 200;
my $LOG   = 'segment 64m; checkpoint size=1g time=1h;';
my $LEAST = "analytics_format least { user u integer; type =$TYPE; }\n"
    . "    analytics_format long { user user_id; type =$TYPE;"
    . ' properties metadata; }';


sub records {
    my ($nginx) = @_;

    return [ map { $_->{events} } grep { $_->{events} }
        @{ $nginx->log(event => sub { })->{records} } ];
}


# Of the least events there are, with names that differ from one to the next.

for my $hide (0, 1) {
    subtest '1 MB of the least events' . ($hide ? ', pseudonyms and a key'
        : '') => sub
    {
        my $nginx = Analytics::Torture->new(log => $LOG
            . ($hide ? 'pseudonyms month;' : ''),
            formats => $LEAST, locations => <<'CONF')->start;
        location = /least  { analytics_collect site format=least; }
CONF

        my $n    = 131000;
        my $body = '[' . join(',', ('{"u":1}', '{"u":2}') x ($n / 2)) . ']';

        cmp_ok length $body, '<=', 1024 * 1024, 'of 1 MB';

        is $nginx->post('/least', $body, headers =>
            $hide ? ['Idempotency-Key: ' . 'k' x 255] : [])->{status}, 201,
            'it is taken';
        is_deeply records($nginx), [$n], 'in one record';

        $nginx->stop;
    };
}


# Requests that wait for the log are appended together when they can be.

subtest 'bodies of 256 KB that come together' => sub {
    my $nginx = Analytics::Torture->new(log => $LOG, workers => 1,
        formats => $LEAST, locations => <<'CONF')->start;
        location = /long  { analytics_collect site format=long; }
CONF

    open my $lock, '+<', $nginx->data . '/control' or die "control: $!\n";
    flock $lock, LOCK_EX or die "flock: $!\n";

    my @clients = map { $nginx->connect } 0 .. 11;
    my $metadata = 'x' x (256 * 1024 - length '{"user_id":"u","metadata":{"x":""}}');

    $_->send_raw(Analytics::Client::format_request('POST', '/long',
        type => 'application/json',
        body => "{\"user_id\":\"u\",\"metadata\":{\"x\":\"$metadata\"}}"))
        for @clients;

    # they were read: this comes behind them

    $nginx->get('/stats/by-user');
    flock $lock, LOCK_UN;

    is_deeply [ grep { $_ != 201 } map { $_->response('POST')->{status} }
        @clients ], [], 'all are taken';

    my $records = records($nginx);

    cmp_ok scalar @$records, '<', @clients, 'some of them in one record'
        or diag "@$records";

    $nginx->settle('the accounts');
    $nginx->stop;
};


done_testing;
