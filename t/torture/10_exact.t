# Copyright (C) The nginx analytics authors

# Many clients, of which some vanish, and one that does not read its answers:
# every event that was acknowledged is counted, once, in every figure.

use strict;
use warnings;

use Test::More;

use Analytics::Client;
use Analytics::Torture;

my $REQUESTS = long() ? 800 : 50;

my $nginx = Analytics::Torture->new(zone => '32m',
    log => 'sync 1s; segment 4m; checkpoint size=8m time=1s;')->start;

my $sender = $nginx->sender(clients => 64, requests => $REQUESTS, vanish => 20,
    sizes => [ [ 120, 1, 1, 0 ], [ 70, 2, 60, 0 ], [ 10, 100, 300, 0 ] ],
)->start;

# 400 answers that nobody reads until the end

my $slow = $nginx->connect;
my $n    = 400;

$slow->send_raw(join '', map {
    Analytics::Client::format_request('GET', '/stats/by-user?limit=1000')
} 1 .. $n);

$sender->finish;

my $read = 0;

for (1 .. $n) {
    my $answer = $slow->response('GET') or last;
    my $list   = eval { $answer->json };

    $read++ if $answer->{status} == 200 && ref $list eq 'ARRAY';
}

is $read, $n, 'the slow reader gets all its answers';
$slow->close;

my $sum = $sender->summary;

cmp_ok $sum->{events}, '>=', long() ? 1_000_000 : $REQUESTS * 64 * 12,
    "$sum->{events} events acknowledged";
cmp_ok $sum->{lost} // 0, '>', 0, 'clients vanished';

$nginx->settle('the accounts', $sender);
$nginx->stop;

done_testing;
