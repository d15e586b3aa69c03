package Analytics::Site;

# Copyright (C) The nginx analytics authors

# An nginx that serves the configuration as it is shipped, with the pages.

use strict;
use warnings;

use File::Basename qw(basename);
use File::Copy qw(copy);

use Analytics::Test;

my $CONF = Analytics::Test::root_dir() . '/conf';
my $HTML = Analytics::Test::root_dir() . '/build/html';
my $MIME = '/etc/nginx/mime.types';


# Whether the pages are there, with the libraries that they load.

sub staged {
    return -d "$HTML/vendor";
}


sub new {
    my ($class, %arg) = @_;

    my $nginx = Analytics::Test->new(conf => configuration(), %arg);
    my $dir   = $nginx->dir;

    # workers may not be let into the folder that all this is in

    copy_all($CONF, "$dir/analytics");
    copy_all(staged() ? $HTML : Analytics::Test::root_dir() . '/html',
        "$dir/html");
    copy_all("$HTML/vendor", "$dir/html/vendor") if staged();

    # the log, too, is in the test's own folder

    my $zone = Analytics::Test::read_file("$dir/analytics/zone.conf");

    $zone =~ s{(path\s+)[^;]+}{$1$dir/data} or die "zone.conf has no path\n";

    Analytics::Test::write_file("$dir/analytics/zone.conf", $zone);

    return $nginx->set(path => "$dir/data");
}


sub configuration {
    my $site = Analytics::Test::read_file("$CONF/site.conf");

    $site =~ s/127\.0\.0\.1:8080/127.0.0.1:%PORT%/g;
    $site =~ s{/usr/share/nginx-analytics/html}{%DIR%/html}g;
    $site =~ s/^/    /mg;

    return <<"CONF";
load_module %MODULE%;
@{[ Analytics::Test->user ]}
worker_processes 2;

events {
    worker_connections 512;
}

http {
    include $MIME;

$site
}
CONF
}


sub copy_all {
    my ($from, $to) = @_;

    mkdir $to or die "$to: $!\n";
    chmod 0755, $to;

    for my $file (grep { -f } glob "$from/*") {
        my $copy = "$to/" . basename($file);

        copy($file, $copy) or die "$copy: $!\n";
        chmod 0644, $copy;
    }
}


1;
