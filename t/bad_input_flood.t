# Copyright (C) The nginx analytics authors

# 10,000 hostile bodies in a row leave memory, file descriptors and the zone
# where they were.

use strict;
use warnings;

use IO::Compress::Gzip qw(gzip);
use Test::More;

use Analytics::Client;
use Analytics::Load;
use Analytics::Test;

my $nginx = Analytics::Test->new(workers => 1, body => '1m', buffer => '64k')
    ->start;

my ($worker) = $nginx->workers;

my $fds = fds();

is $nginx->post('/events/', '{"user_id":"first","event_type":"b"}')->{status},
    201, 'a good event';


sub request {
    my ($body, @headers) = @_;

    return Analytics::Client::format_request('POST', '/events/',
        type => 'application/json', body => $body, headers => \@headers);
}


# Bodies of all kinds.  The number makes each one different, so that what is
# kept of any of them would add up.

sub hostile {
    my ($n) = @_;

    my $good = "{\"user_id\":\"user $n\",\"event_type\":\"type $n\"}";
    my $kind = $n % 12;

    # larger than the buffer: through a temporary file
    return request("[$good," . ' ' x 100_000 . $n) if $n % 60 == 59;

    return request("[$good,$good,") if $kind == 0;
    return request('[' x (100 + $n)) if $kind == 1;
    return request("[$good,{\"user_id\":$n}]") if $kind == 2;
    return request("{\"user_id\":\"\xff$n\"}") if $kind == 3;
    return request("{\"user_id\":\"" . 'x' x (256 + $n) . '"}') if $kind == 4;
    return request('[' . join(',', ("{\"event_type\":$n}") x 50) . ']')
        if $kind == 5;
    return request("$good$good\"") if $kind == 6;
    return request("not gzip $n", 'Content-Encoding: gzip') if $kind == 7;

    if ($kind == 8) {
        gzip(\("[$good," . ' ' x 5000), \my $zipped);

        return request(substr($zipped, 0, -$n % 9), 'Content-Encoding: gzip');
    }

    return request(Analytics::Client::chunked("[$good,x$n]", 9),
        'Transfer-Encoding: chunked') if $kind == 9;
    return request("[$good,{\"user_id\":\"a\",\"event_type\":\"b\","
        . "\"timestamp\":\"$n-13-01T00:00:00Z\"}]") if $kind == 10;

    return request("{\"user_id\":\"a\",\"event_type\":\"b\",\"metadata\":"
        . ('{"a":' x 70) . $n);
}


sub flood {
    my ($from, $to) = @_;

    my %status;

    Analytics::Load::run(
        port        => $nginx->port,
        connections => 8,
        next        => sub { return $from < $to ? hostile($from++) : undef },
        done        => sub { $status{ $_[0]{status} }++ },
        lost        => sub { $status{lost}++ },
    );

    return \%status;
}


sub fds {
    my @fds = glob "/proc/$worker/fd/*";

    return scalar @fds;
}


sub measure {
    my ($rss) = Analytics::Test::read_file("/proc/$worker/status")
        =~ /^VmRSS:\s+(\d+) kB/m;

    my $maps = Analytics::Test::read_file("/proc/$worker/maps") =~ tr/\n//;

    my $health = $nginx->json('/health')->{zones}{site};

    return { rss => $rss, maps => $maps, zone => $health };
}


my %all = %{ flood(0, 2000) };
my $before = measure();

my $status = flood(2000, 12_000);

$all{$_} += $status->{$_} for keys %$status;

my $after = measure();

is_json [ sort keys %all ], '["400","422"]', 'all were refused as bad'
    or diag explain \%all;
is $all{400} + $all{422}, 12_000, 'every one was answered';

is_json [ sort $nginx->workers ], [ $worker ], 'by one worker all the time';
ok wait_for(sub { fds() == $fds }), 'file descriptors stay'
    or diag fds() . ", and $fds before";
is_json $after->{zone}, $before->{zone}, 'the zone stays';

cmp_ok $after->{maps} - $before->{maps}, '<', 50, 'no file stays mapped';

SKIP: {
    skip 'memory says nothing under a sanitizer', 1 if $ENV{ANALYTICS_PRELOAD};

    cmp_ok $after->{rss} - $before->{rss}, '<', 1024,
        'memory stays within 1 MB: a leak of 100 bytes a body would show';
}

note "RSS $before->{rss} kB, then $after->{rss} kB; "
    . "$before->{maps} mappings, then $after->{maps}";

$nginx->stop;
done_testing;
