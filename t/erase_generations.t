# Copyright (C) The nginx analytics authors

# Who is erased while two generations of nginx are alive, after an upgrade of
# the binary or a reload with another size, is left in the memory of neither,
# and in no file, whichever writes last.

use strict;
use warnings;
no warnings qw(portable);

use IO::Socket::INET;
use Test::More;

use Analytics::Test;

my $nginx = Analytics::Test->new(
    path => 1, daemon => 1, workers => 1,
    log => 'store on; checkpoint size=64k time=1s;',
    locations => 'location /users/ { analytics_erase site; }',
    main => $ENV{ANALYTICS_PRELOAD}
        ? 'env LD_PRELOAD; env ASAN_OPTIONS; env UBSAN_OPTIONS;' : '',
)->start;
my $data = $nginx->dir . '/data';


sub files_with {
    my ($text) = @_;

    return grep { index(Analytics::Test::read_file($_), $text) >= 0 }
        grep { -f } glob "$data/* $data/.[a-z]*";
}


# Whether a process has a text in memory that it shares.

sub memory_with {
    my ($pid, $text) = @_;

    open my $mem, '<:raw', "/proc/$pid/mem" or return 0;

    for (split /\n/, Analytics::Test::read_file("/proc/$pid/maps")) {
        my ($from, $to) = /^(\w+)-(\w+) rw-s .*zero/ or next;
        my ($at, $end, $bytes) = (hex $from, hex $to, '');

        sysseek $mem, $at, 0 or next;

        while (length $bytes < $end - $at) {
            sysread $mem, $bytes, $end - $at - length $bytes, length $bytes
                or last;
        }

        return 1 if index($bytes, $text) >= 0;
    }

    return 0;
}


sub event { return "{\"user_id\":\"$_[0]\",\"event_type\":\"t\"}" }

sub master {
    my ($pid) = Analytics::Test::read_file($nginx->dir . '/nginx.pid')
        =~ /^(\d+)$/m;

    return $pid // 0;
}

sub gone { return !$nginx->processes->{ $_[0] } }


# Somebody who is known.

sub somebody {
    my ($name) = @_;

    my $mark = "mark$$" . join '', map { int rand 10 } 1 .. 8;

    is $nginx->post('/events/', event($mark))->{status}, 201, "$name: stored";

    return $mark;
}


sub erase {
    my ($mark) = @_;

    is $nginx->request(DELETE => "/users/$mark")->{status}, 202, 'is erased';
}


subtest 'an upgrade' => sub {
    my $old  = $nginx->{pid};
    my ($one) = $nginx->workers;
    my $mark = somebody('of the old one');

    ok memory_with($one, $mark), 'is in its memory';

    kill 'USR2', $old;

    ok wait_for(sub { master() && master() != $old && $nginx->workers == 2 }),
        'there are two' or return;

    my ($two) = grep { $_ != $one } $nginx->workers;

    ok wait_for(sub { memory_with($two, $mark) }), 'both know the user';

    erase($mark);

    ok wait_for(sub { !memory_with($one, $mark) && !memory_with($two, $mark) }),
        'the memory of neither has the name';
    ok wait_for(sub { !files_with($mark) }), 'no file has it';

    kill 'QUIT', $old;

    ok wait_for(sub { gone($old) && gone($one) }), 'the old one ends';
    is_deeply [files_with($mark)], [], 'without writing it down again';
    ok !memory_with($two, $mark), 'nor does the new one know';

    $nginx->{pid} = master();
};


# An old worker has a request to finish, with the memory of its time.

subtest 'a reload with another size' => sub {
    my $mark  = somebody('before it');
    my ($one) = $nginx->workers;
    my $body  = event('other');

    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $nginx->port) or die "connect: $@\n";

    print $socket "POST /events/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        . "Content-Type: application/json\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n"
        . substr $body, 0, 5;
    $socket->flush;

    # that has arrived when another request is answered
    $nginx->get('/health');

    $nginx->set(zone => '24m');
    $nginx->write_config;
    $nginx->signal('HUP');

    my $two;

    ok wait_for(sub {
        ($two) = grep { $_ != $one } $nginx->workers;
        return $two && memory_with($two, $mark);
    }), 'another worker knows the user' or return;
    ok !gone($one), 'the old one has something to do yet';

    erase($mark);

    ok wait_for(sub { !files_with($mark) && !memory_with($two, $mark) }),
        'the new memory and the files know nothing';

    print $socket substr $body, 5;

    like scalar <$socket>, qr{^HTTP/1.1 201}, 'the old one answers';
    ok wait_for(sub { gone($one) }), 'and ends';
    is_deeply [files_with($mark)], [], 'without writing it down again';
    ok !memory_with($two, $mark), 'nor does the new one know';
    is $nginx->get("/events/?user_id=$mark")->{body}, '[]', 'nor tell';
};


$nginx->stop;
done_testing;
