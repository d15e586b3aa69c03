# Copyright (C) The nginx analytics authors

# What was counted of all users together stays when some of them are erased,
# and is the same after a restart, whatever a checkpoint had seen of them.

use strict;
use warnings;

use JSON::PP ();
use POSIX qw(strftime);
use Test::More;

use Analytics::Test;
use Analytics::Torture;

my $nginx = Analytics::Torture->new(zone => '16m', log => <<'LOG',
    checkpoint size=1g time=1h;
    metric active unique; metric new new_users; metric came sessions;
    metric stayed session_time; metric all count; metric of count by=group;
    metric sizes p95 field=size; metric who unique field=who;
LOG
    locations => <<'CONF')->start;
    location /metrics/ { analytics_metrics site; }
    location /users/   { analytics_erase   site; }
CONF

my $json = JSON::PP->new->canonical;


sub come {
    my ($user, @times) = @_;

    return $nginx->post('/events/', $json->encode([ map { {
        user_id => $user, event_type => 't', timestamp => $_,
        metadata => { group => "g$user", size => length $_, who => $user },
    } } @times ]))->{status};
}


# Days, weeks and months, but not how many were active in a range of them: of
# those each user is asked.

sub told {
    my %told;

    for my $interval (qw(day week month)) {
        my $range = $interval eq 'week' ? 'start=2025-12-29&end=2026-03-29'
            : 'start=2026-01-01&end=2026-03-31';

        for my $name (qw(active new came stayed all of sizes who)) {
            my $answer = $nginx->json("/metrics/$name?interval=$interval"
                . "&$range");

            delete $answer->{total} if $name eq 'active';
            $told{"$name by $interval"} = $answer;
        }
    }

    return \%told;
}


sub erased { return wait_for(sub { ($nginx->health->{erasing} // 1) eq 0 }) }


sub same {
    my ($told, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $now   = told();
    my @other = grep { $json->encode($now->{$_}) ne $json->encode($told->{$_}) }
        sort keys %$told;

    is_deeply \@other, [], $name
        or diag $json->encode([ @$told{@other} ]), "\n",
            $json->encode([ @$now{@other} ]);
}


# of a: all that there is before a checkpoint, and some behind it

is come('a', '2026-01-05T10:00:00Z', '2026-01-05T10:10:00Z'), 201, 'one comes';
is come('b', '2026-01-05T10:00:00Z', '2026-02-01T10:00:00Z'), 201, 'another';

$nginx->stop('QUIT');
$nginx->restart;

ok scalar(glob $nginx->data . '/*.checkpoint'), 'a checkpoint knows both';

is come('a', '2026-02-03T10:00:00Z', '2026-03-02T10:00:00Z'), 201, 'they come';
is come('b', '2026-02-10T10:00:00Z', '2026-03-02T11:00:00Z'), 201, 'again';
is come('c', '2026-03-02T12:00:00Z', '2026-03-20T12:00:00Z'), 201, 'and a new';
is come('d', '2026-03-20T12:00:00Z', '2026-03-20T12:20:00Z'), 201, 'or two';

my $told = told();

is $told->{'active by month'}{series}[1]{value}, 2, 'two in February';
is $told->{'active by month'}{series}[2]{value}, 4, 'four in March';

is $nginx->request('DELETE', "/users/$_")->{status}, 202, "$_ is erased"
    for qw(a c);

same($told, 'what was counted stays');
ok erased(), 'after a while all is done';
same($told, 'and still stays');

for my $how ('a restart', 'a crash', 'another crash') {
    if ($how eq 'a restart') {
        $nginx->stop('QUIT');
    } else {
        $nginx->kill_at_once;
    }

    $nginx->restart;
    same($told, "after $how");
}


# One who asks for it does not wait until there is a checkpoint.

subtest 'no checkpoint can be written' => sub {
    my $told = told();
    my $temp = $nginx->data . '/checkpoint.tmp';
    my $log  = $nginx->data . '/*.log';

    my $known = sub {
        return grep { Analytics::Test::read_file($_) =~ /"gd"/ } glob $log;
    };

    ok $known->(), 'the log knows somebody';
    ok mkdir($temp), 'there is something in the way';

    $nginx->expect_log(qr/could not be erased yet|no checkpoint was written/);

    is $nginx->request('DELETE', '/users/d')->{status}, 202, 'd is erased';
    ok wait_for(sub { !$known->() }), 'the log forgets';
    is $nginx->health->{erasing}, 1, 'not all is done';

    ok rmdir($temp), 'then there can be one';
    ok erased(), 'and all is done';
    same($told, 'what was counted is in the memory');
};

is $nginx->get("/metrics/active?start=2026-02-01&end=2026-02-28&interval=day")
    ->json->{total}, 1, 'of a range, who is still known is counted';

# without a checkpoint, only the log tells, and not of whom any more

$nginx->kill_at_once;
unlink glob $nginx->data . '/*.checkpoint';
$nginx->restart;

my $less = told();

is $less->{'active by month'}{series}[1]{value}, 1, 'from the log alone: one';
is $less->{'active by month'}{series}[2]{value}, 1, 'and one';
is_json $less->{'all by day'}, $json->encode($told->{'all by day'}),
    'events are all there';
is_json $less->{'all by month'}, $json->encode($told->{'all by month'}),
    'in any month';

$nginx->stop;

done_testing;
