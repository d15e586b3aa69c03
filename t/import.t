# Copyright (C) The nginx analytics authors

# Files of any size come in by one command, NDJSON and access logs alike, and
# are counted once however often they are sent, and whoever is killed when.

use strict;
use warnings;

use File::Temp ();
use IO::Compress::Gzip qw(gzip);
use JSON::PP ();
use POSIX qw(:sys_wait_h strftime);
use Test::More;
use Time::HiRes qw(sleep);
use Time::Local qw(timegm);

use Analytics::Test;

my $ROOT   = Analytics::Test::root_dir();
my $IMPORT = "$ROOT/build/analytics-import";
my $DATA   = "$ROOT/../shared/data";
my $json   = JSON::PP->new->utf8->canonical;
my $dir    = File::Temp->newdir;

plan skip_all => 'there is no build/analytics-import: "make import" builds it'
    unless -x $IMPORT;


sub write_text {
    my ($name, $text) = @_;

    open my $file, '>:raw', "$dir/$name" or die "$name: $!\n";
    print $file $text;
    close $file or die "$name: $!\n";

    return "$dir/$name";
}


sub site {
    return Analytics::Test->new(path => 1, log => 'sync off;',
        locations => <<'CONF')->expect_log(qr/"[^"]*nowhere" failed/)->start;
        location = /usage  { analytics_collect site format=usage; }
CONF
}


sub url { return 'http://127.0.0.1:' . $_[0]->port . ($_[1] // '/events/') }

sub total { return $_[0]->json('/stats/total')->{total_events} }


# Starts it, with its messages in a file.

sub begin {
    my (@args) = @_;

    my $pid = fork // die "fork: $!\n";

    return $pid if $pid;

    open STDIN, '<', '/dev/null';
    open STDERR, '>', "$dir/said";
    open STDOUT, '>&', \*STDERR;
    exec $IMPORT, @args or POSIX::_exit(127);
}


# Runs it.  Returns its exit code and what it said.

sub import {
    my (@args) = @_;

    waitpid begin(@args), 0;

    return ($? & 127 ? "signal $?" : $? >> 8,
        Analytics::Test::read_file("$dir/said"));
}


sub lines {
    my ($n, $from) = @_;

    return join '', map {
        $json->encode({ user_id => 'u' . $_ % 997, event_type => "t" . $_ % 7,
            timestamp => '2025-10-04T10:00:00Z', metadata => { n => $_ } })
            . "\n"
    } ($from // 1) .. ($from // 1) + $n - 1;
}


# Each line once: the numbers in the events that the store has.

sub numbers_of {
    my ($nginx) = @_;

    my @n = $nginx->get('/events/export?format=ndjson')->{body}
        =~ /"n":(\d+)/g;

    return [sort { $a <=> $b } @n];
}


subtest 'the real data, as NDJSON and as an access log' => sub {
    my $file = "$DATA/semicomplete-2015-05.ndjson";

    plan skip_all => 'the data is not here' unless -f $file;

    my $expected = data(Analytics::Test::read_file(
        "$DATA/semicomplete-2015-05.expected.json"));
    my $nginx = site();

    my ($code, $said) = import('--url=' . url($nginx, '/usage'),
        "--state=$dir/real", $file);

    is $code, 0, 'it ends well' or diag $said;
    is_json $nginx->json('/stats/total'), { map { $_ => $expected->{$_} }
        qw(total_events unique_users unique_event_types) }, 'the totals';
    is_json $nginx->json('/stats/by-user?limit=20'),
        $expected->{by_user_top20}, 'the users';

    ($code) = import('--url=' . url($nginx, '/usage'), "--state=$dir/real",
        $file);
    is $code, 0, 'sent again';
    is total($nginx), $expected->{total_events}, 'nothing was counted twice';

    unlink "$dir/real";
    ($code) = import('--url=' . url($nginx, '/usage'), "--state=$dir/real",
        $file);
    is $code, 0, 'and again, with nobody to know how far it was';
    is total($nginx), $expected->{total_events}, 'neither';

    $nginx->stop;

    # what nginx would have logged of it, in a time zone of its own

    my @events = map { $json->decode($_) } split /\n/,
        Analytics::Test::read_file($file);
    my $log = join '', map {
        my $m = $_->{metadata};
        my @t = $_->{timestamp} =~ /(\d+)/g;
        my $time = timegm($t[5], $t[4], $t[3], $t[2], $t[1] - 1, $t[0]);

        sprintf qq{%s - - [%s +0530] "%s %s HTTP/1.1" %s %s "%s" "%s"\n},
            $_->{user_id},
            strftime('%d/%b/%Y:%H:%M:%S', gmtime $time + 5.5 * 3600),
            $m->{method}, map { escaped($_) } $m->{path}, $m->{status},
            $m->{bytes}, $m->{referrer}, $m->{user_agent};
    } @events;

    my $gz;
    gzip \$log => \$gz;

    $nginx = site();
    ($code, $said) = import('--url=' . url($nginx, '/usage'),
        write_text('access.log.gz', $gz));

    is $code, 0, 'a compressed access log' or diag $said;
    is_json [map { $nginx->json('/stats/total')->{$_} }
        qw(total_events unique_users)],
        [@$expected{qw(total_events unique_users)}], 'the same totals';
    is_json $nginx->json('/stats/by-user?limit=20'),
        $expected->{by_user_top20}, 'the same users';

    my @got = map { $json->decode($_) } split /\n/, $nginx->get(
        '/events/export')->{body};
    my $text = sub {
        my ($events) = @_;

        return [sort map {
            my %m = %{ $_->{metadata} };
            delete $m{referrer} if ($m{referrer} // '') eq '-';
            delete $m{user_agent} if ($m{user_agent} // '') eq '-';
            "$_->{timestamp} $_->{user_id} " . $json->encode(\%m)
        } @$events];
    };

    is_deeply $text->(\@got), $text->(\@events), 'and the same of each event';

    $nginx->stop;
};


# As nginx does.

sub escaped {
    my ($text) = @_;

    utf8::encode($text);

    return $text =~ s/([\x00-\x1f"\\\x7f-\xff])/sprintf '\\x%02X', ord $1/ger;
}


subtest 'killed at any moment, it goes on where it was' => sub {
    my $nginx = site();
    my $n     = 60_000;
    my $file  = write_text('killed.ndjson', lines($n));
    my $kills = 0;

    for my $round (1 .. 200) {
        my $pid    = begin('--url=' . url($nginx), $file);
        my $before = total($nginx);
        my $ended  = 0;

        # until it has got some way, less each time

        my $way = 1 + int rand($kills < 3 ? 1_000 : 9_000);

        wait_for(sub {
            $ended = waitpid($pid, WNOHANG) == $pid;
            $ended || total($nginx) >= $before + $way;
        });

        if ($ended) {
            is $?, 0, "after $kills kills it was done";
            last;
        }

        $kills++;
        kill 'KILL', $pid;
        waitpid $pid, 0;

        # what was sent may be counted yet

        unlink "$file.import-state" if $round == 3;
    }

    cmp_ok $kills, '>=', 1, "killed $kills times";
    is total($nginx), $n, 'all is counted once';
    is_deeply numbers_of($nginx), [1 .. $n], 'each line';

    $nginx->stop;
};


subtest 'a server that goes and comes back' => sub {
    my $nginx = site();
    my $n     = 40_000;
    my $file  = write_text('away.ndjson', lines($n));

    my $pid = begin('--url=' . url($nginx), $file);

    wait_for(sub { total($nginx) > 2000 });
    $nginx->kill_all;

    # unless it was done before: then there is more to do

    ok wait_for(sub {
        if (waitpid($pid, WNOHANG) == $pid) {
            open my $more, '>>:raw', $file or die "$file: $!\n";
            print $more lines(1000, $n + 1);
            close $more or die "$file: $!\n";

            $n += 1000;
            $pid = begin('--url=' . url($nginx), $file);
        }

        return Analytics::Test::read_file("$dir/said") =~ /trying again/;
    }), 'it is told';

    $nginx->try_start or die "no nginx\n";

    waitpid $pid, 0;
    is $? >> 8, 0, 'it waits for the server';
    is_deeply numbers_of($nginx), [1 .. $n], 'each line once';

    $nginx->kill_all;

    my ($code, $said) = import('--url=' . url($nginx), '--timeout=0',
        write_text('gone.ndjson', lines(3)));

    is $code, 1, 'but not for ever';
    like $said, qr/start it again/, 'it says what to do';
};


subtest 'interrupted by a person' => sub {
    my $nginx = site();
    my $n     = 200_000;
    my $file  = write_text('long.ndjson', lines($n));
    my $pid   = begin('--url=' . url($nginx), $file);

    wait_for(sub { total($nginx) > 0 });
    kill 'INT', $pid;
    waitpid $pid, 0;

    is $? >> 8, 130, 'it ends at once';
    like Analytics::Test::read_file("$dir/said"), qr/start it again to go on/,
        'and says how to go on';
    cmp_ok total($nginx), '<', $n, 'in the middle';

    my ($code) = import('--url=' . url($nginx), $file);

    is $code, 0, 'then';
    is total($nginx), $n, 'all is there';

    $nginx->stop;
};


subtest 'lines that are no events are told and left out' => sub {
    my $nginx = site();
    my $good  = lines(5);
    my $file  = write_text('bad.ndjson', lines(2)
        . "nonsense\n\n"
        . qq({"user_id":"","event_type":"t"}\n)
        . qq({"user_id":"u","event_type":"t","metadata":{"n":1,,}}\n)
        . qq({"user_id":"u"}\n)
        . lines(2, 3)
        . qq({"user_id":"u","event_type":"t","metadata":{"n":"\xff"}}\n)
        . lines(1, 5));

    my ($code, $said) = import('--url=' . url($nginx), $file);

    is $code, 2, 'the exit code says so';
    is_deeply numbers_of($nginx), [1 .. 5], 'the others are taken';
    like $said, qr/\Q$file\E:$_->[0]: $_->[1]/, "line $_->[0]"
        for [3, 'is no JSON object'], [5, 'user_id must not be empty'],
            [6, '.'], [7, 'event_type is missing'], [10, '.'];
    is scalar(() = $said =~ /^analytics-import: \Q$file\E:\d/mg), 5, 'no other';

    $file = write_text('many.ndjson', join '', map { "x $_\n" } 1 .. 100);
    ($code, $said) = import('--url=' . url($nginx), $file);
    is scalar(() = $said =~ /\Q$file\E:\d/g), 20, 'not all of very many';
    like $said, qr/only counted/, 'it says so';

    $file = write_text('bad.log', <<'LOG');
203.0.113.9 - ann [04/Oct/2025:12:00:00 +0200] "GET /a%20b?q=\x22\xC3\xA9\x22 HTTP/1.1" 200 17 "-" "x \"y\" \xff"
203.0.113.9 - - [31/Jun/2025:12:00:00 +0200] "GET / HTTP/1.1" 200 17 "-" "x"
nonsense
203.0.113.9 - - [04/Oct/2025:12:00:01 +0200] "\x16\x03\x01" 400 - "-" "-"
203.0.113.9 - - [04/Oct/2025:12:00:02 -0100] "GET /i.PNG?x HTTP/1.0" 304 0
LOG

    ($code, $said) = import('--url=' . url($nginx, '/usage'),
        '--user=remote_user', $file);

    is $code, 2, 'an access log';
    like $said, qr/\Q$file\E:2: has no time/, 'there is no 31st of June';
    like $said, qr/\Q$file\E:3: is no line/, 'nonsense';

    my @got = map { my $e = $json->decode($_); delete $e->{id}; $e }
        grep { /203\.0|"ann"/ } split /\n/,
        $nginx->get('/events/export?order=asc')->{body};

    is_deeply \@got, [
        { user_id => 'ann', event_type => 'page_view',
          timestamp => '2025-10-04T10:00:00Z', metadata => {
              method => 'GET', path => "/a%20b?q=\"\x{e9}\"", status => 200,
              bytes => 17, user_agent => "x \"y\" \x{fffd}" } },
        { user_id => '203.0.113.9', event_type => 'bad_request',
          timestamp => '2025-10-04T10:00:01Z', metadata => {
              request => "\x16\x03\x01", status => 400 } },
        { user_id => '203.0.113.9', event_type => 'image',
          timestamp => '2025-10-04T13:00:02Z', metadata => {
              method => 'GET', path => '/i.PNG?x', status => 304,
              bytes => 0 } },
    ], 'the others, escapes and zones resolved';

    $nginx->stop;
};


subtest 'a file that grows' => sub {
    my $nginx = site();
    my $url   = '--url=' . url($nginx);
    my ($half, $rest) = (lines(1, 4) =~ /^(.{30})(.*)$/s);
    my $file  = write_text('grows.ndjson', lines(3) . $half);

    my ($code, $said) = import($url, $file);

    is $code, 0, 'a last line that is being written';
    like $said, qr/not whole yet/, 'is left, it says';
    is total($nginx), 3, 'the others are taken';

    open my $out, '>>:raw', $file;
    print $out $rest, lines(2, 5);
    close $out;

    ($code) = import($url, $file);
    is_deeply numbers_of($nginx), [1 .. 6], 'what was appended is taken';

    write_text('grows.ndjson', lines(2, 100));
    ($code, $said) = import($url, $file);

    like $said, qr/is another file than before/, 'a file in its place';
    is_deeply numbers_of($nginx), [1 .. 6, 100, 101], 'is begun anew';

    write_text('last.ndjson', lines(1, 200) =~ s/\n$//r);
    ($code, $said) = import($url, "$dir/last.ndjson");
    is total($nginx), 9, 'a whole last line needs no end';

    ($code, $said) = import('--url=' . url($nginx, '/usage'),
        "$dir/last.ndjson");
    is $code, 1, 'to another place';
    like $said, qr/was sent to another place/, 'only if it is told so';

    $nginx->stop;
};


subtest 'what cannot be' => sub {
    my $nginx = site();

    is((import('--help'))[0], 0, '--help');
    is((import())[0], 64, 'no file');
    is((import('--nonsense', 'x'))[0], 64, 'an unknown option');
    is((import('--format=xml', 'x'))[0], 64, 'an unknown format');
    is((import('--state=x', 'a', 'b'))[0], 64, 'one state for two files');
    is((import("$dir/nowhere"))[0], 1, 'a file that is not there');
    is((import("$dir"))[0], 1, 'a directory');

    my ($code, $said) = import('--url=' . url($nginx, '/nowhere'),
        write_text('x.ndjson', lines(1)));

    is $code, 1, 'a server that does not collect there';
    like $said, qr/answers 40/, 'it says why';

    ($code, $said) = import('--url=' . url($nginx, '/usage'),
        write_text('other.ndjson', lines(2000)));

    is $code, 1, 'events of another location';
    like $said, qr/takes no line/, 'it says so, and does not ask for each';

    my $pid = open my $in, '-|', "$IMPORT -q --url=" . url($nginx)
        . " - < '$dir/x.ndjson' 2>&1";
    my $out = join '', <$in>;

    close $in;
    is $?, 0, 'standard input';
    is $out, '', 'quiet';
    is total($nginx), 1, 'is taken';

    ($code, $said) = import('--url=' . url($nginx), '--header=X-A: b',
        write_text('wide.ndjson', lines(3) =~ s/"n":2/'"n":2,"pad":"' . 'x'
            x 700_000 . '"'/er));
    is $code, 0, 'a line longer than a batch' or diag $said;
    is total($nginx), 4, 'is taken';

    $nginx->stop;
};


done_testing;
