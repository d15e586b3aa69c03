# Copyright (C) The nginx analytics authors

# Power is cut, and only what was synced is left: with "sync always" every
# event that was acknowledged, and with any other setting a log without holes
# whose numbers are not given again.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(sleep);

use Analytics::Disk;
use Analytics::Torture;

plan skip_all => 'no ' . Analytics::Disk::library()
    unless Analytics::Disk::available();

my @WAYS = (
    { names => 'synced', data => 'synced' },
    { names => 'all',    data => 'synced' },
    { names => 'synced', data => 'torn' },
    { names => 'all',    data => 'torn' },
);


for my $sync ('always', '1s', 'off') {
    subtest "sync $sync" => sub {
        my $nginx = Analytics::Torture->new(
            log => "sync $sync; segment 64k; checkpoint size=256k time=1s;",
        )->expect_log(qr/analytics zone "site".*damaged and were (?:passed over|put aside|made anew)/,
            qr/analytics zone "site": checkpoint .* is not used/);
        my $disk = Analytics::Disk->new(folder => $nginx->data,
            base => $nginx->dir . '/disk');

        $disk->record;
        $nginx->set($disk->environment)->start;

        my $sender = $nginx->sender(clients => 6, pause => 0.01,
            sizes => [ [ 90, 1, 1, 0 ], [ 30, 2, 40, 0 ], [ 3, 300, 500, 100 ],
                long() ? [ 1, 1500, 1800, 800 ] : () ])->start;
        my %had;
        my $lost = 0;

        for my $round (1 .. (long() ? 24 : $sync eq 'off' ? 2 : 6)) {
            $nginx->more(300) or last;

            # until something was synced, and some of it not
            sleep rand($sync eq 'always' ? 0.2 : 2.2);

            $nginx->kill_at_once;

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
            lost   => $sync eq 'always' ? undef : sub { ++$lost } });
        note "$lost requests that were acknowledged are lost";
        $nginx->stop;
    };
}


done_testing;
