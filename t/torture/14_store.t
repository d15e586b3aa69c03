# Copyright (C) The nginx analytics authors

# The store equals the log, whoever dies: processes are killed at each point of
# filling, merging and forgetting, and the files, which are read by another
# program, the log and the answers are compared each time.

use strict;
use warnings;

use Test::More;

use Analytics::Fault;
use Analytics::Parts;
use Analytics::Test;
use Analytics::Torture;

plan skip_all => 'no module with fault points' unless Analytics::Fault::available();

# its parts are this small

my $LEAST = 512;

my @SIZES = ([1, 200, 400, 0], [1, 1, 1, 0]);
my $kills = 0;


sub faulty {
    my (%arg) = @_;

    my $nginx = Analytics::Torture->new(zone => '32m', %arg, log =>
        'store on; sync 100ms; segment 64k; checkpoint size=256k time=1s;'
        . ($arg{log} // ''));
    my $fault = Analytics::Fault->new($nginx->dir . '/fault');

    $nginx->set($fault->environment)->start;

    return ($nginx, $fault);
}


# Kills a process where it has stopped, alone or with all others.  Then the
# files are looked at as they are left.

sub killed {
    my ($nginx, $fault, $all, @points) = @_;

    my $name = "killed at @points" . ($all ? ', all at once' : '');
    my $pid  = $fault->stop($nginx, @points) or return fail "$name: never";

    $kills++;

    if ($all) {
        $nginx->kill_at_once;
        files_agree($nginx->data, $name);
        $nginx->restart;
        export_agrees($nginx, $name);

    } else {
        kill 'KILL', $pid;
        ok wait_for(sub { !grep { $_ == $pid } $nginx->workers }), $name;
    }
}


subtest 'killed at each point of filling and merging' => sub {
    my ($nginx, $fault) = faulty();
    my $sender = $nginx->sender(clients => 2, pause => 0.1,
        sizes => \@SIZES)->start;

    my @points = qw(part.created part.rows publish.written publish.synced
        publish.renamed publish.done);
    my @rounds = map { ([fill => $_], [merge => $_]) } @points;
    my $n = 0;

    # every other one of either kind dies with all others

    for my $round (@rounds, ['fill'], ['merge'], ['clean']) {
        my $all = ++$n % 4 < 2;

        killed($nginx, $fault, $all, @$round);
        killed($nginx, $fault, !$all, @$round) if long();
    }

    $sender->stop;
    ok caught_up($nginx, $LEAST), 'the store catches up';
    export_agrees($nginx, 'afterwards');
    $nginx->settle('the accounts', $sender);

    $nginx->kill_at_once;
    cmp_ok files_agree($nginx->data, 'at last'), '>', 1, 'there is a store';
    $nginx->restart;
    $nginx->stop;
};


note "$kills kills";
done_testing;
