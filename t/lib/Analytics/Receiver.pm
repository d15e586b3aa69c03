package Analytics::Receiver;

# Copyright (C) The nginx analytics authors

# A real HTTP server that takes webhooks, in a process of its own.  What it
# answers is chosen by path, while it runs:
#
#     my $receiver = Analytics::Receiver->new->start;
#
#     $receiver->answer('/a', 500, 500, 200);   # the last one again and again
#     $receiver->answer('/b', 'hang');          # takes it, and says nothing
#
#     $receiver->got('/a');    # requests: { path, headers, body }, in order
#
# Otherwise it answers 200.

use strict;
use warnings;

use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use Time::HiRes qw(sleep);

my $json  = JSON::PP->new->utf8->canonical;
my $OWNER = $$;


sub new {
    my ($class) = @_;

    return bless { dir => File::Temp->newdir(TMPDIR => 1) }, $class;
}


sub port { return $_[0]{port} }
sub url  { return "http://127.0.0.1:$_[0]{port}$_[1]" }


sub start {
    my ($self) = @_;

    my $socket = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1', LocalPort => $self->{port} // 0,
        Listen => 64, ReuseAddr => 1,
    ) or die "cannot listen: $@\n";

    $self->{port} = $socket->sockport;
    $self->{pid}  = fork // die "fork: $!\n";

    if ($self->{pid} == 0) {
        $SIG{TERM} = $SIG{INT} = 'DEFAULT';
        $SIG{PIPE} = 'IGNORE';
        eval { $self->serve($socket) };

        require POSIX;
        POSIX::_exit(1);
    }

    close $socket;

    return $self;
}


sub stop {
    my ($self) = @_;

    my $pid = delete $self->{pid} or return $self;

    kill 'KILL', $pid;
    waitpid $pid, 0;

    return $self;
}


sub DESTROY {
    my ($self) = @_;

    local ($?, $!);

    $self->stop if $$ == $OWNER;
}


sub file {
    my ($self, $path) = @_;

    return "$self->{dir}/" . $path =~ s{[^a-z0-9]}{_}gr;
}


sub answer {
    my ($self, $path, @answers) = @_;

    my $file = $self->file($path);

    open my $fh, '>', "$file.new" or die "$file: $!\n";
    print $fh "@answers";
    close $fh;
    rename "$file.new", $file or die "$file: $!\n";

    return $self;
}


sub next_answer {
    my ($self, $path) = @_;

    open my $fh, '<', $self->file($path) or return 200;

    my ($answer, @rest) = split ' ', <$fh> // '';

    $self->answer($path, @rest) if @rest;

    return $answer // 200;
}


sub got {
    my ($self, $path) = @_;

    open my $fh, '<:raw', "$self->{dir}/got" or return [];

    return [ grep { !defined $path || $_->{path} eq $path }
        map { $json->decode($_) } grep { /\n\z/ } <$fh> ];
}


sub serve {
    my ($self, $socket) = @_;

    my $select = IO::Select->new($socket);
    my %in;

    while (my @ready = $select->can_read) {
        for my $fh (@ready) {

            if ($fh == $socket) {
                my $client = $socket->accept or next;

                $select->add($client);
                $in{$client} = '';
                next;
            }

            if (!sysread $fh, $in{$fh}, 65536, length $in{$fh}) {
                $select->remove($fh);
                delete $in{$fh};
                close $fh;
                next;
            }

            $self->take($fh, \$in{$fh});
        }
    }
}


sub take {
    my ($self, $fh, $in) = @_;

    my ($method, $path, $head, $body) =
        $$in =~ m{^(\S+) (\S+) HTTP/1\.1\r\n(.*?\r\n)\r\n(.*)}s or return;

    my %headers = map { /^([^:]+):\s*(.*)$/ ? (lc $1 => $2) : () }
        split /\r\n/, $head;

    return if length $body < ($headers{'content-length'} // 0);

    $$in = '';

    my $answer = $self->next_answer($path);

    open my $got, '>>:raw', "$self->{dir}/got" or die "got: $!\n";
    syswrite $got, $json->encode({ method => $method, path => $path,
        headers => \%headers, body => $body, answer => $answer }) . "\n";
    close $got;

    return if $answer eq 'hang';

    my $more = $answer =~ /^3/ ? 'Location: ' . $self->url('/moved') . "\r\n"
        : '';

    syswrite $fh, "HTTP/1.1 $answer Status\r\n${more}Content-Length: 2\r\n"
        . "\r\nok";
}


1;
