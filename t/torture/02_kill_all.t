# Copyright (C) The nginx analytics authors

# The master and all workers are killed at the same moment, again and again:
# what was acknowledged is there after the next start, once.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep);

use Analytics::Torture;

my $ROUNDS = long() ? 50 : 6;

for my $sync ('1s', 'always', 'off') {
    subtest "sync $sync" => sub {
        my $nginx = Analytics::Torture->new(
            log => "sync $sync; segment 256k; checkpoint size=1m time=1s;",
        )->start;
        my $sender = $nginx->sender(clients => 6, pause => 0.01)->start;
        my $rounds = 0;

        for (1 .. ($sync eq '1s' ? $ROUNDS : $ROUNDS / 3)) {
            $nginx->more(300) or last;

            # a moment that is not always the same
            sleep rand 0.2;

            $nginx->kill_at_once->restart;
            $rounds++;
        }

        cmp_ok $rounds, '>', 0, "$rounds times";
        ok $nginx->more(100), 'the load goes on';

        $sender->stop;
        $nginx->settle('the accounts', $sender);

        $nginx->kill_at_once->restart;
        $nginx->settle('and again, from its files alone', $sender);
        $nginx->stop;
    };
}

done_testing;
