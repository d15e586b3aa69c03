# Copyright (C) The nginx analytics authors

# A new binary takes over under load, and an old one comes back: two
# generations share a log, and nothing is lost or doubled.

use strict;
use warnings;

use Test::More;

use Analytics::Test;
use Analytics::Torture;

my $UPGRADES = long() ? 20 : 2;

# nginx would start the new binary without the sanitizers

my $nginx = Analytics::Torture->new(daemon => 1, main => $ENV{ANALYTICS_PRELOAD}
    ? 'env LD_PRELOAD; env ASAN_OPTIONS; env UBSAN_OPTIONS;' : '')->start;

# they keep the log busy: a question seldom finds its lock free

my $sender = $nginx->sender(clients => 6, pause => 0.002)->start;


sub master {
    my ($file) = @_;

    my ($pid) = Analytics::Test::read_file($nginx->dir . "/$file") =~ /^(\d+)$/m;

    return $pid;
}


sub workers_of {
    my ($master) = @_;

    return grep {
        Analytics::Test::read_file("/proc/$_/stat") =~ /^\d+ \(.*\) \S $master /
    } $nginx->workers;
}


# Starts a new binary.  Returns its master's process id.

sub start_new {
    my $old = $nginx->{pid};

    kill 'USR2', $old;

    ok wait_for(sub {
        my $new = master('nginx.pid');
        return $new && $new != $old && workers_of($new) == 2;
    }), 'a new master has workers' or die "no upgrade\n";

    return master('nginx.pid');
}


sub gone {
    my ($pid) = @_;

    return wait_for(sub { !$nginx->processes->{$pid} });
}


ok $nginx->more(200), 'there is a load';

for my $n (1 .. $UPGRADES) {
    subtest "upgrade $n" => sub {
        my $old = $nginx->{pid};
        my $new = start_new();

        ok $nginx->more(50), 'both serve';
        is $nginx->own_writes(150), 150, 'each knows what the other took';

        kill 'QUIT', $old;

        ok gone($old), 'the old one ends';

        $nginx->{pid} = $new;

        ok $nginx->ready, 'the new one is ready';
        ok $nginx->more(100), 'and goes on';
    };

    subtest "back $n" => sub {
        my $old = $nginx->{pid};
        my $new = start_new();

        kill 'WINCH', $old;

        ok wait_for(sub { !workers_of($old) }), "the old one's workers end";
        ok $nginx->more(50), 'the new one serves alone';

        kill 'HUP', $old;

        ok wait_for(sub { workers_of($old) == 2 }), 'the old one is back';
        is $nginx->own_writes(150), 150, 'each knows what the other took';

        kill 'QUIT', $new;

        ok gone($new), 'the new one ends';
        ok wait_for(sub { (master('nginx.pid') // 0) == $old }),
            'the old one is the master again';
        ok $nginx->ready, 'it is ready';
        ok $nginx->more(100), 'and goes on';
    };
}

$sender->stop;
$nginx->settle('the accounts', $sender);
$nginx->stop;

done_testing;
