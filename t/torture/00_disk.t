# Copyright (C) The nginx analytics authors

# The disk that other tests let fail and lose power does what they rely on.

use strict;
use warnings;

use Errno qw(EIO ENOSPC);
use File::Temp ();
use Test::More;

use Analytics::Disk;
use Analytics::Test;

plan skip_all => 'no ' . Analytics::Disk::library()
    unless Analytics::Disk::available();

my $base   = File::Temp->newdir;
my $folder = "$base/data";

mkdir $folder;
chmod 0700, $folder;

my $disk = Analytics::Disk->new(folder => $folder, base => "$base/disk");


# Runs a piece of Perl with the disk below it.  Returns what it printed.

sub with_disk {
    my ($code) = @_;

    my %disk = $disk->environment;

    local %ENV = (%ENV, %{ $disk{env} }, LD_PRELOAD => $disk{preload});

    open my $from, '-|', $^X, '-MFcntl', '-MIO::Handle', '-e', <<"CODE"
use strict; use warnings; chdir '$folder'; \$| = 1;
sub put { my (\$file, \$text, \$mode) = \@_;
    sysopen(my \$fh, \$file, O_WRONLY|O_CREAT|(\$mode // 0), 0600)
        or return "open: " . (\$! + 0);
    my \$n = syswrite(\$fh, \$text);
    return defined \$n ? (\$fh, \$n) : "write: " . (\$! + 0); }
sub sync { my (\$file) = \@_;
    open(my \$fh, '<', \$file) or return "open: " . (\$! + 0);
    return \$fh->sync ? 'synced' : "sync: " . (\$! + 0); }
$code
CODE
        or die "$^X: $!\n";

    my $out = do { local $/; <$from> };

    close $from;

    return $out;
}


sub left {
    return join ' ', map {
        my $text = Analytics::Test::read_file($_);

        s{.*/}{}r . "=$text"
    } sort glob "$folder/*";
}


subtest 'calls fail' => sub {
    $disk->fail(kinds => ['write'], from => 2, times => 1, error => ENOSPC);

    is with_disk('print join ",", map { my @r = put("a$_", "x"); $r[-1] } 1 .. 3'),
        '1,write: ' . ENOSPC . ',1', 'the one that was meant';
    is $disk->failed, 1, 'it is counted';

    $disk->fail(kinds => ['write'], error => EIO, half => 1);

    is with_disk('print join ",", map { my @r = put("b", "12345678", O_APPEND);'
        . ' $r[-1] } 1 .. 2'), '4,write: ' . EIO, 'half of a write';
    is left(), 'a1=x a2= a3=x b=1234', 'is written';

    is with_disk("print join ',', map { my \@r = put(\"$base/c\", 'x');"
        . ' $r[-1] } 1 .. 2'), '1,1', 'elsewhere nothing fails';

    my %call = (
        create   => 'print put("d", "x")',
        open     => 'print open(my $fh, "<", "a1") ? 1 : "open: " . ($! + 0)',
        rename   => 'print rename("a1", "a4") ? 1 : "rename: " . ($! + 0)',
        unlink   => 'print unlink("a1") ? 1 : "unlink: " . ($! + 0)',
        truncate => 'print truncate("a3", 0) ? 1 : "truncate: " . ($! + 0)',
        mkdir    => 'print mkdir("d") ? 1 : "mkdir: " . ($! + 0)',
        sync     => 'print sync("a1")',
    );

    # truncate() by name is not what servers use
    $call{truncate} = 'open(my $fh, "+<", "a3"); print truncate($fh, 0) ? 1'
        . ' : "truncate: " . ($! + 0)';

    for my $kind (sort keys %call) {
        $disk->fail(kinds => [$kind], error => EIO);
        like with_disk($call{$kind}), qr/^\w+: @{[ EIO ]}$/, $kind;
    }

    $disk->heal;
    is with_disk($call{sync}), 'synced', 'and then no more';
    is $disk->failed, 0, 'nothing failed';
};


subtest 'syncs are held' => sub {
    my %disk = $disk->environment;

    local %ENV = (%ENV, %{ $disk{env} }, LD_PRELOAD => $disk{preload});

    $disk->hold;

    open my $from, '-|', $^X, '-MIO::Handle', '-e', <<"CODE"
open my \$fh, '<', '$folder/a3'; \$fh->sync; print 'synced';
CODE
        or die "$^X: $!\n";

    ok wait_for(sub { $disk->held == 1 }), 'one is';

    $disk->release;

    is scalar <$from>, 'synced', 'until they are released';
    is $disk->held, 0, 'then none is';
};


subtest 'power is cut' => sub {
    unlink glob "$folder/*";

    $disk->record;

    with_disk('put("kept", "abc"); sync("kept"); put("gone", "x");'
        . ' put("empty", "x"); unlink "gone"; sync("."); put("new", "n");'
        . ' sync("new"); put("kept", "def", O_APPEND); rename "empty", "moved"');

    is left(), 'kept=abcdef moved=x new=n', 'what there was';
    is $disk->failed, 0, 'all of it could be recorded';

    $disk->cut;

    is left(), 'empty= kept=abc', 'what was synced is left';
    is sprintf('%o', (stat $folder)[2] & 07777), 700, 'the mode, too';

    with_disk('rename "kept", "renamed"; put("renamed", "ghi", O_APPEND)');
    $disk->cut(names => 'all');

    is left(), 'empty= renamed=abc', 'or all names';

    with_disk('unlink "renamed"; put("again", "y"); sync("again"); sync(".");'
        . ' unlink "again"; put("third", "z"); sync("third")');
    $disk->cut;

    is left(), 'again=y empty=', 'removing is not synced by itself';

    my %seen;

    for (1 .. 40) {
        unlink glob "$folder/*";
        with_disk('put("a", "s" x 100); sync("a"); sync(".");'
            . ' put("a", "w" x 20000, O_APPEND)');
        $disk->cut(data => 'torn');

        my $data = left();

        like $data, qr/^a=s{100}(?:w{3996}|\0{3996})*[w\0]*$/, 'torn'
            if !$seen{ $data =~ /w\0+w/ ? 'hole' : $data =~ /\0$/ ? 'zeros'
            : 'other' }++;
        last if $seen{hole} && $seen{zeros};
    }

    ok $seen{hole}, 'a tail with holes';
};


done_testing;
