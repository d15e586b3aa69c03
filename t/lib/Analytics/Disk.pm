package Analytics::Disk;

# Copyright (C) The nginx analytics authors

# A disk that fails or loses power, for an nginx under test: tells the
# preloaded t/preload/disk.c what to do in one folder.
#
#     my $disk = Analytics::Disk->new(folder => "$dir/data",
#         base => "$dir/disk");
#     my $nginx = Analytics::Test->new(..., $disk->environment);
#
#     $disk->fail(kinds => ['write', 'create'], from => 3, times => 1,
#         error => ENOSPC);
#     $disk->heal;
#
#     $disk->hold;            # syncs do not come back
#     wait_for(sub { $disk->held });
#     $disk->release;
#
#     $disk->record;          # before the first start
#     ...                     # kill all processes
#     $disk->cut;             # the folder is what a power cut leaves of it

use strict;
use warnings;

use Errno qw(EIO);
use File::Copy qw(copy);
use File::Path qw(remove_tree);

use Analytics::Test;

my @KINDS = qw(open create write truncate sync rename unlink mkdir);
my %BIT   = map { $KINDS[$_] => $_ } 0 .. $#KINDS;
my $STATE = 'a8 L L Q Q Q Q L L Q8 L L';
my $HOLD  = length pack 'a8 L L Q Q Q Q L L Q8', '', (0) x 16;
my $ALL   = 18446744073709551615;


sub library {
    return $ENV{ANALYTICS_DISK_SHIM}
        || Analytics::Test::root_dir() . '/build/preload/disk.so';
}


sub available {
    return -f library();
}


sub kinds { return @KINDS }


sub new {
    my ($class, %arg) = @_;

    my $self = bless { %arg, control => "$arg{base}/control",
        synced => "$arg{base}/synced", kinds => 0, error => EIO, from => 1,
        times => 0, half => 0, recording => 0 }, $class;

    # workers may be someone else

    mkdir $arg{base} or die "$arg{base}: $!\n";
    mkdir $self->{synced};
    mkdir "$self->{synced}/files";
    chmod 0755, $arg{base};
    chmod 0777, $self->{synced}, "$self->{synced}/files";

    Analytics::Test::write_file("$self->{synced}/lock", '');
    Analytics::Test::write_file("$self->{synced}/names", '');
    chmod 0666, "$self->{synced}/lock", "$self->{synced}/names";

    Analytics::Test::write_file($self->{control},
        pack 'a4096 a4096 a4096', pack($STATE, 'DISK', (0) x 18),
        Cwd::abs_path($arg{folder} =~ s{/[^/]+$}{}r)
            . ($arg{folder} =~ m{(/[^/]+)$})[0],
        Cwd::abs_path($self->{synced}));

    return $self;
}


# What Analytics::Test->new() needs to preload it.

sub environment {
    my ($self) = @_;

    return (
        preload => library(),
        env     => { ANALYTICS_DISK => $self->{control} },
    );
}


sub _state {
    my ($self) = @_;

    open my $fh, '<:raw', $self->{control} or die "$self->{control}: $!\n";
    sysread $fh, my $bytes, length pack $STATE, '', (0) x 18;

    my %state;
    my @value = unpack $STATE, $bytes;

    @state{qw(magic kinds error from times seen failed half record)} =
        splice @value, 0, 9;
    $state{count} = { map { $KINDS[$_] => $value[$_] } 0 .. $#KINDS };
    $state{held}  = $value[-1];

    return \%state;
}


# How often it was told to fail, and did; how many syncs are held; and how
# often each was called.

sub failed { return $_[0]->_state->{failed} }
sub held   { return $_[0]->_state->{held} }
sub counts { return $_[0]->_state->{count} }


# All but the counters, which are others'.  What fails is said last.

sub _put {
    my ($self) = @_;

    $self->_write([ 8, pack 'L', 0 ],
        [ 12, pack 'L Q Q Q Q L L', @$self{qw(error from times)}, 0, 0,
            @$self{qw(half recording)} ],
        [ 8, pack 'L', $self->{kinds} ]);
}


sub _write {
    my ($self, @pieces) = @_;

    open my $fh, '+<:raw', $self->{control} or die "$self->{control}: $!\n";

    for (@pieces) {
        sysseek $fh, $_->[0], 0 or die "seek: $!\n";
        syswrite($fh, $_->[1]) == length $_->[1] or die "write: $!\n";
    }
}


sub fail {
    my ($self, %arg) = @_;

    $self->{kinds} = 0;
    $self->{kinds} |= 1 << $BIT{$_} for @{ $arg{kinds} };
    $self->{error} = $arg{error} // EIO;
    $self->{from}  = $arg{from}  // 1;
    $self->{times} = $arg{times} // $ALL;
    $self->{half}  = $arg{half} ? 1 : 0;

    $self->_put;
}


sub heal {
    my ($self) = @_;

    $self->fail(kinds => [], times => 0);
}


sub hold    { return $_[0]->_write([ $HOLD, pack 'L', 1 ]) }
sub release { return $_[0]->_write([ $HOLD, pack 'L', 0 ]) }


sub record {
    my ($self) = @_;

    $self->{recording} = 1;
    $self->_put;
}


# Makes the folder what a power cut leaves.  All processes are gone.
#
#     names   'synced': what was created, renamed or removed since the folder
#             was synced last was not; 'all': it was, as many a file system
#             does it
#     data    'synced': what was written since a file was synced last was not;
#             'torn': of what was appended some of its pages are there, the
#             others are zeros

sub cut {
    my ($self, %arg) = @_;

    my $folder = $self->{folder};
    my $left   = "$self->{base}/left";
    my %now    = map { $_->[1] => $_->[0] } _listed($folder);
    my %names  = %now;

    if (($arg{names} // 'synced') eq 'synced') {
        %names = map { /^(\S+) (.*)$/ ? ($2 => $1) : () }
            split /\n/, Analytics::Test::read_file("$self->{synced}/names");
    }

    my %of  = map { $now{$_} => $_ } keys %now;
    my @dir = stat $folder or die "$folder: $!\n";

    remove_tree($left);
    mkdir $left or die "$left: $!\n";

    for my $name (keys %names) {
        my $id   = $names{$name};
        my $data = Analytics::Test::read_file("$self->{synced}/files/$id");

        $data = _torn($data,
            Analytics::Test::read_file("$folder/$of{$id}"))
            if ($arg{data} // 'synced') eq 'torn' && defined $of{$id};

        Analytics::Test::write_file("$left/$name", $data);
        chmod 0600, "$left/$name";
        chown @dir[4, 5], "$left/$name";
    }

    remove_tree($folder);
    rename $left, $folder or die "rename: $!\n";
    chmod $dir[2] & 07777, $folder;
    chown @dir[4, 5], $folder;

    $self->_settled;
}


# What is there after a power cut is durable.

sub _settled {
    my ($self) = @_;

    my @names = _listed($self->{folder});

    unlink glob "$self->{synced}/files/*";

    copy("$self->{folder}/$_->[1]", "$self->{synced}/files/$_->[0]")
        or die "copy: $!\n" for @names;

    chmod 0666, glob "$self->{synced}/files/*";

    Analytics::Test::write_file("$self->{synced}/names",
        join '', map { "$_->[0] $_->[1]\n" } @names);
}


# The files of a folder, each by number and birth, as disk.c names them.

sub _listed {
    my ($folder) = @_;

    open my $from, '-|', 'find', $folder, '-maxdepth', '1', '-type',
        'f', '-exec', 'stat', '-c', '%i %W %.9W %n', '{}', '+'
        or die "find: $!\n";

    return map {
        my ($number, $birth, $exact, $path) = /^(\d+) (\d+) (\S+) (.*)$/
            or die "not understood: $_\n";

        $exact =~ s/[.,]//;

        [ "$number-" . ($birth ? $exact : 0), $path =~ s{.*/}{}r ];
    } map { s/\n$//r } <$from>;
}


# The synced data, and of what is behind it each page or not, up to some end.

sub _torn {
    my ($synced, $written) = @_;

    return $synced if length $written <= length $synced;

    my $end  = length($synced)
        + int rand(length($written) - length($synced) + 1);
    my $data = $synced;

    while (length $data < $end) {
        my $page = 4096 - length($data) % 4096;

        $page = $end - length $data if $page > $end - length $data;

        $data .= rand() < 0.5 ? substr $written, length $data, $page
            : "\0" x $page;
    }

    return $data;
}


1;
