# Copyright (C) The nginx analytics authors

# nginx is told to end, fast or gracefully, in the middle of large lists: what
# was acknowledged is there, and of what was not a list is there as a whole,
# or, if it is long, its beginning.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep);

use Analytics::Test;
use Analytics::Torture;

my $ROUNDS = long() ? 30 : 3;

my $nginx = Analytics::Torture->new(
    log => 'segment 1m; checkpoint size=4m time=1s;')->start;

my $sender = $nginx->sender(clients => 4, sizes => [ [ 6, 1, 1, 0 ],
    [ 3, 1000, 2000, 20 ], [ 2, 1300, 1500, 1000 ], [ 1, 4500, 5000, 1000 ] ],
)->start;

my $ended = 0;

for my $round (1 .. $ROUNDS) {
    my $signal = $round % 2 ? 'TERM' : 'QUIT';

    $nginx->more(2000) or last;

    # somewhere in a list: most of the time there is one under way

    sleep rand 0.3;

    $nginx->signal($signal);

    my $gone = wait_for(sub {
        waitpid $nginx->{pid}, 1;
        return !%{ $nginx->processes };
    });

    ok $gone, "it ends at SIG$signal" or last;
    $nginx->restart;
    $ended++;
}

is $ended, $ROUNDS, 'every time';
ok $nginx->more(100), 'the load goes on';

$sender->stop;
$nginx->settle('the accounts', $sender);
$nginx->stop;

done_testing;
