# Copyright (C) The nginx analytics authors

# A plain copy of the folder, made while events come in, is a backup: another
# nginx serves from it all that was acknowledged before the copy began, and
# gives out no number again.

use strict;
use warnings;

use File::Copy qw(copy);
use File::Path qw(remove_tree);
use Test::More;

use Analytics::Test;
use Analytics::Torture;

my $COPIES = long() ? 20 : 5;

my $nginx  = Analytics::Torture->new(
    log => 'segment 64k; checkpoint size=256k time=1s;')->start;
my $sender = $nginx->sender(clients => 4, pause => 0.01)->start;
my $other  = Analytics::Torture->new(
    log => 'segment 64k; checkpoint size=256k time=1s;')
    ->expect_log(qr/checkpoint .* is not used/);

ok $nginx->more(500), 'there is a load';


sub run {
    system(@_) == 0 or die "@_: failed\n";
}


# What is replaced meanwhile may have gone when its turn comes.

sub cp {
    my ($from, $to) = @_;

    system('sh', '-c', 'exec cp -a "$0" "$1" 2> /dev/null', $from, $to);

    die "cp: failed\n" unless -f "$to/control";
}


# As rsync does it: one file after the other under another name, and then once
# more what has changed since.

sub rsync {
    mkdir $other->data, 0700 or die "mkdir: $!\n";

    for my $pass (1, 2) {
        for my $file (sort glob $nginx->data . '/*') {
            my $name = $file =~ s{.*/}{}r;
            my $copy = $other->data . "/$name";

            next if $pass == 2 && -e $copy && -s $copy == -s $file
                && (stat $copy)[9] == ((stat $file)[9] // 0);

            # it may be gone by now

            my @stat = stat $file or next;

            copy($file, "$copy.part") or next;
            chmod 0600, "$copy.part";
            chown @stat[4, 5], "$copy.part";
            utime @stat[8, 9], "$copy.part";
            rename "$copy.part", $copy or die "rename: $!\n";
        }
    }

    run('chown', '--reference=' . $nginx->data, $other->data);
}


for my $n (1 .. $COPIES) {
    my $how = $n % 2 ? 'cp' : 'rsync';

    subtest "copy $n, by $how" => sub {
        remove_tree($other->data);

        my ($before) = $sender->told;

        $n % 2 ? cp($nginx->data, $other->data) : rsync();

        # what comes until it is compared would only make it take longer
        $sender->stop;

        $other->{port} ? $other->restart : $other->start;

        $other->settle('what it serves', $sender, {
            lost => sub {
                my ($client, $request) = @_;
                my $r = $before->{$client}{$request};

                return !$r || $r->{state} ne 'accepted';
            },
        });

        my $had    = @{ $other->log->{events} };
        my $answer = $other->post('/events/',
            '{"user_id":"new","event_type":"new"}');

        is $answer->{status}, 201, 'it takes events';
        cmp_ok $answer->json->{id}, '>', $had, 'with numbers of their own';

        $other->kill_at_once;
        $sender->start;
        ok $nginx->more(200), 'and the load goes on';
    };
}

$sender->stop;
$nginx->settle('the accounts', $sender);
$nginx->stop;
$other->restart->stop;


# Its checkpoints are others before it is done, and the log has forgotten what
# was before them.

subtest 'a copy that takes long' => sub {
    my $nginx = Analytics::Torture->new(zone => '32m', workers => 1,
        retain => 'totals=all events=1k', log => 'store on; segment 256k;'
            . ' checkpoint size=256k time=1s;')->start;
    my $other = Analytics::Torture->new(zone => '32m', workers => 1,
        log => 'store on;');
    my $client = $nginx->connect;
    my ($data, $copy) = ($nginx->data, $other->data);
    my ($n, $list) = (0, '');

    my $post = sub {
        $list = '[' . join(',', map { sprintf '{"user_id":"u%d",'
            . '"event_type":"t","metadata":{"n":%d}}', $n++ % 997, $n }
            1 .. 2000) . ']';

        $client->request(POST => '/events/', type => 'application/json',
            body => $list)->{status} == 201 or die "refused\n";
    };

    # not so much that the store, which has what others leave of the machine,
    # is ever more behind

    my $more = sub {
        $post->() if $nginx->health->{store}{behind_events} < 100_000;
    };

    my $names = sub {
        my ($ext) = @_;

        return map { s{.*/}{}r } sort glob "$data/[0-9]*.$ext";
    };

    # as after hours: the log has lost its beginning

    $post->() for 1 .. 80;
    ok wait_for(sub {
        $more->();
        $nginx->age_checkpoints;
        return ($names->('log'))[0] !~ /^0+\./;
    }), 'the log has lost its beginning';

    my @listed = map { s{.*/}{}r } glob "$data/*";
    my $before = $n;

    # it is slow at first

    for (1 .. 3) {
        my $newest = ($names->('checkpoint'))[-1];

        ok wait_for(sub {
            $more->();
            return ($names->('checkpoint'))[-1] ne $newest;
        }), 'a checkpoint is written';
    }

    my $parts = ($names->('db'))[0];

    ok wait_for(sub { $more->(); ($names->('db'))[0] ne $parts }),
        'the store has forgotten some more';

    mkdir $copy, 0700 or die "mkdir: $!\n";
    system("cp -a $data/$_ $copy 2> /dev/null") for @listed;
    run('chown', "--reference=$data", $copy);

    $other->start;

    my $log = $other->log;
    my @ids = map { $_->{id} } @{ $log->{events} };

    cmp_ok $ids[-1], '>=', $before, 'it has all there was when it began';
    is_deeply [ $log->gaps($ids[0]) ], [], 'without a gap';
    is $other->json('/stats/total')->{total_events}, $ids[-1],
        'what it has forgotten was counted before';
    ok wait_for(sub { $other->get('/events/?limit=1')->{status} == 200 }),
        'single events can be asked for';
    $other->stop;
    $nginx->stop;
};


# Restored where it came from: the original has given out more numbers.

sub restored {
    my ($how, $restore, %option) = @_;

    subtest $how => sub {
        my $nginx = Analytics::Torture->new(workers => 1)
            ->expect_log(qr/checkpoint .* is not used/)->start;
        my ($data, $copy) = ($nginx->data, $nginx->dir . '/copy');

        my $post = sub {
            return $nginx->post('/events/',
                '{"user_id":"a","event_type":"b"}')->json->{id};
        };

        $post->() for 1 .. 5;
        $nginx->stop if $option{stopped};
        cp($data, $copy);
        $nginx->restart if $option{stopped};
        is $post->(), 6, 'the original goes on';

        my $last = $post->();

        $nginx->stop;
        $restore->($data, $copy);

        $nginx->restart;
        is $nginx->json('/stats/total')->{total_events}, 5,
            'what the copy has is served';
        cmp_ok $post->(), '>', $last, 'no number is given out again';
        $nginx->settle('the accounts', { gaps => 1 });
        $nginx->stop;
    };
}


restored('moved to the place of the folder', sub {
    my ($data, $copy) = @_;

    remove_tree($data);
    rename $copy, $data or die "rename: $!\n";
});

restored('copied to the place of the folder', sub {
    my ($data, $copy) = @_;

    remove_tree($data);
    run('cp', '-a', $copy, $data);
});

restored('copied into the folder, emptied', sub {
    my ($data, $copy) = @_;

    unlink glob "$data/*";
    run('cp', '-a', "$copy/.", $data);
});

restored('copied over what is there', sub {
    my ($data, $copy) = @_;

    run('cp', '-a', "$copy/.", $data);
});

restored('copied while nginx had stopped', sub {
    my ($data, $copy) = @_;

    remove_tree($data);
    rename $copy, $data or die "rename: $!\n";
}, stopped => 1);

done_testing;
