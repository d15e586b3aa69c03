# Copyright (C) The nginx analytics authors

# Reloads under load, also with another size of the zone: no request is
# refused, and nothing is lost or doubled.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep);

use Analytics::Torture;

my $RELOADS = long() ? 150 : 12;

my $nginx  = Analytics::Torture->new(zone => '16m')->start;
my $sender = $nginx->sender(clients => 6, pause => 0.01)->start;

ok $nginx->more(200), 'there is a load';

for my $n (1 .. $RELOADS) {

    # another size is another zone, which is made from the files

    $nginx->configure(zone => 16 + $n / 4 % 3 * 4 . 'm') if $n % 4 == 0;
    $nginx->signal('HUP');

    sleep 0.2;
}

ok $nginx->reload, 'the last of them is in effect';
ok $nginx->ready, 'and the zone is ready';
ok $nginx->more(100), 'the load goes on';

$sender->stop;
$nginx->settle('the accounts', $sender);
$nginx->stop;

done_testing;
