#!/usr/bin/perl

# Copyright (C) The nginx analytics authors

# Measures the module and prints a table; "make bench" runs it.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use Getopt::Long;

use lib dirname(abs_path(__FILE__)) . '/lib';

use Bench::Found;
use Bench::Metrics;
use Bench::Process;
use Bench::Report;
use Bench::Rows;
use Bench::Stored;

my $HERE  = dirname(abs_path(__FILE__));
my $ROOT  = dirname(dirname($HERE));
my $BUILD = $ENV{BUILD} || "$ROOT/build";
my @ROWS  = (@Bench::Rows::ROWS, @Bench::Stored::ROWS, @Bench::Found::ROWS,
    @Bench::Metrics::ROWS);

my $USAGE = <<"END";
usage: perl t/bench/bench.pl [options]

  --only ROW      only this row; may be repeated:
                  @Bench::Rows::ROWS
                  @Bench::Stored::ROWS
                  @Bench::Found::ROWS
                  @Bench::Metrics::ROWS
  --quick         shorter and less exact
  --markdown      the table as Markdown
  --rounds N      slices of each variant, 7 if not said
  --seconds N     length of a slice, 2 if not said
  --nice N        priority of servers and load, -10 if not said and allowed

Environment:
  ANALYTICS_MODULE    the module, by default the one that "make" builds
  BUILD               where to build what the module is measured against
  TEST_NGINX_BINARY   nginx, by default /usr/sbin/nginx
END

my %option = (rounds => 7, seconds => 2);

GetOptions(\%option, 'only=s@', 'quick', 'markdown', 'rounds=i', 'seconds=i',
    'nice=i' => \$Bench::Process::NICE, 'help') && !@ARGV or die $USAGE;

if ($option{help}) {
    print $USAGE;
    exit 0;
}

@option{qw(rounds seconds)} = (3, 2) if $option{quick};

for my $row (@{ $option{only} // [] }) {
    die "there is no row \"$row\"\n$USAGE"
        unless grep { $_ eq $row } @ROWS;
}

exit main();


sub main {
    my $module = $ENV{ANALYTICS_MODULE}
        || "$ROOT/build/modules/ngx_http_analytics_module.so";

    die "there is no module at $module: run \"make\" first\n"
        unless -f $module;

    needed();

    my @cpus = cpus();

    if (@cpus < 2) {
        say_progress('warning: one processor only: server and load share it');
        push @cpus, @cpus;
    }

    my $rows = Bench::Metrics->new(
        %option, module => abs_path($module), baseline => baseline(),
        peer => $HERE, wrk => "$HERE/wrk", server => $cpus[0], load => $cpus[1],
    );

    my @table;

    for my $row (@{ $option{only} // \@ROWS }) {
        push @table, $rows->$row;
    }

    print $option{markdown} ? markdown(@table) : text(@table);

    return 0;
}


# What Debian has of what we use.

sub needed {
    my %package = (
        '/usr/bin/wrk' => 'wrk',
        '/usr/bin/taskset' => 'util-linux',
        '/usr/share/nginx/src/conf_flags' => 'nginx-dev',
        '/usr/lib/nginx/modules/ngx_http_lua_module.so' =>
            'libnginx-mod-http-lua',
        '/usr/share/doc/lua-cjson' => 'lua-cjson',
    );

    my @lack = map { $package{$_} } grep { !-e } sort keys %package;

    die "bench: install @lack first\n" if @lack;
}


# What "POST" is measured against is a module of its own, see baseline/.

sub baseline {
    my $dir    = "$BUILD/bench";
    my $module = "$dir/ngx_http_bench_module.so";
    my @source = glob "$HERE/baseline/*";

    return $module
        if -f $module && !grep { (stat)[9] > (stat $module)[9] } @source;

    say_progress('building the module to measure against');

    make_path($dir);

    run_process(['bash', '-ec', <<'END', '-', "$HERE/baseline", $dir]);
cd /usr/share/nginx/src
. ./conf_flags
./configure "${NGX_CONF_FLAGS[@]}" --with-cc=gcc \
    --with-cc-opt="-g -O2 -fPIC -D_FORTIFY_SOURCE=2 -fstack-protector-strong" \
    --with-ld-opt=-fPIC --builddir="$2" --add-dynamic-module="$1"
make -f "$2/Makefile" modules
END

    return $module;
}
