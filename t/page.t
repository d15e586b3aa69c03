# Copyright (C) The nginx analytics authors

# The pages in a browser, on the configuration that is shipped.

use strict;
use warnings;

use File::Copy qw(copy);
use File::Temp ();
use Test::More;

use Analytics::Site;
use Analytics::Test;

my $ROOT = Analytics::Test::root_dir();

my ($NODE) = grep { -x } map { "$_/node" } split /:/, $ENV{PATH};
my $CHROMIUM = $ENV{CHROMIUM} // '/usr/bin/chromium';
my ($MODULES) = grep { -d "$_/playwright-core" }
    "$ROOT/build/npm/page/node_modules", "$ROOT/t/page/node_modules";

plan skip_all => 'node is not installed' unless $NODE;
plan skip_all => 'chromium is not installed' unless -x $CHROMIUM;
plan skip_all => 'playwright-core is not installed ("make test" does it)'
    unless $MODULES;
plan skip_all => 'the pages are not built ("make html" does it)'
    unless Analytics::Site::staged();

Analytics::Test::one_day(300);

my $nginx = Analytics::Site->new;
my $conf  = $nginx->dir . '/analytics/figures.conf';

Analytics::Test::write_file($conf, Analytics::Test::read_file($conf)
    . "alert failing metric=error_count above=8 over=1h every=1s;\n");

$nginx->start;

# node finds modules beside the file that asks for them

my $dir = File::Temp->newdir('analytics-page-XXXXXXXX', TMPDIR => 1);

copy($_, "$dir/") or die "$_: $!\n" for glob "$ROOT/t/page/*.mjs";
symlink $MODULES, "$dir/node_modules" or die "symlink: $!\n";

# the browser's own files go there, too

local $ENV{BASE_URL} = 'http://127.0.0.1:' . $nginx->port;
local $ENV{CHROMIUM} = $CHROMIUM;
local $ENV{HOME}     = "$dir";
local $ENV{TMPDIR}   = "$dir";

my $pid = open my $output, '-|', $NODE, "$dir/page.mjs"
    or die "node: $!\n";

my $n = 0;

while (my $line = <$output>) {
    if ($line =~ /^(not )?ok \d+ - (.*)/) {
        $n++;
        ok !$1, $2;

    } elsif ($line =~ /^# (.*)/) {
        diag $1;
    }
}

close $output;

is $? >> 8, 0, 'the browser test ends well';
cmp_ok $n, '>', 0, 'it kept promises';

$nginx->stop;
done_testing;
