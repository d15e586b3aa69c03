# Copyright (C) The nginx analytics authors

# Power is cut, and only what was synced is left: with "sync always" every
# event that was acknowledged, with "sync 1s" those that the last sync of the
# timer was after, and with any setting a log without holes whose numbers are
# not given again.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep time);

use Analytics::Disk;
use Analytics::Test;
use Analytics::Torture;

plan skip_all => 'no ' . Analytics::Disk::library()
    unless Analytics::Disk::available();

my @WAYS = (
    { names => 'synced', data => 'synced' },
    { names => 'all',    data => 'synced' },
    { names => 'synced', data => 'torn' },
    { names => 'all',    data => 'torn' },
);


# Waits until all is synced that was acknowledged by now.  Returns when that
# was.

sub synced {
    my ($nginx) = @_;

    my $now = time;
    my $end = $nginx->health->{log_bytes};

    return wait_for(sub { $nginx->health->{synced_bytes} >= $end }) ? $now : 0;
}


# Checkpoints sync, too, which is not to hide that the timer does not.

for ([ 'always', 'size=256k time=1s' ], [ '1s', 'size=1g time=1h' ],
    [ 'off', 'size=256k time=1s' ])
{
    my ($sync, $checkpoint) = @$_;

    subtest "sync $sync" => sub {
        my $nginx = Analytics::Torture->new(
            log => "sync $sync; segment 64k; checkpoint $checkpoint;",
        )->expect_log(qr/analytics zone "site".*damaged and were (?:passed over|put aside|made anew)/,
            qr/analytics zone "site": checkpoint .* is not used/);
        my $disk = Analytics::Disk->new(folder => $nginx->data,
            base => $nginx->dir . '/disk');

        $disk->record;
        $nginx->set($disk->environment)->start;

        my $sender = $nginx->sender(clients => 6, pause => 0.01,
            sizes => [ [ 90, 1, 1, 0 ], [ 30, 2, 40, 0 ], [ 3, 300, 500, 100 ],
                long() ? [ 1, 1500, 1800, 800 ] : () ])->start;
        my (%had, @cuts);
        my $lost = 0;

        for my $round (1 .. (long() ? 24 : $sync eq 'off' ? 2 : $sync eq '1s' ? 4 : 6)) {
            $nginx->more(300) or last;

            my $synced = $sync eq 'off' ? 0 : synced($nginx);

            ok $synced, 'what was acknowledged is synced' or last
                if $sync ne 'off';

            # until something was synced, and some of it not
            sleep rand($sync eq 'always' ? 0.2 : $sync eq 'off' ? 2.2 : 1.2);

            $nginx->kill_at_once;

            # each has noted, with the time, what it still got

            wait_for(sub {
                my ($told) = $sender->told;

                return !grep { $_->{state} eq 'open' }
                    map { values %$_ } values %$told;
            }) or die "requests stay open\n";

            push @cuts, [ $synced, time ];

            is $disk->failed, 0, 'all that was synced was recorded';

            $disk->cut(%{ $WAYS[$round % @WAYS] });

            my %left = map { $_->{id} => 1 } @{ $nginx->log->{events} };
            my @gone = grep { !$left{$_} } keys %had;

            is scalar @gone, 0, 'what survived before survives'
                or diag "@gone[0 .. ($#gone < 20 ? $#gone : 20)]";

            %had = %left;

            $nginx->restart;
        }

        $sender->stop;

        # of what nobody had acknowledged some pages may be there

        $nginx->settle('the accounts', $sender, { gaps => 1,
            refusals => 1, damage => 1,
            lost   => $sync eq 'always' ? undef : sub {
                my $time = $_[2]{time};

                $lost++;

                # since the last sync before a cut

                return grep { $time >= $_->[0] && $time <= $_->[1] } @cuts;
            } });
        note "$lost requests that were acknowledged are lost";
        $nginx->stop;
    };
}


done_testing;
