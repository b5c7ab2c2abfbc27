# Boots this system once more, with a systemd of its own, in namespaces of its own, on an overlay that nothing is left of.
# Called in those namespaces with a directory that is empty, and the root of the system that is meant. What runs outside
# is neither seen nor touched.
set -euo pipefail
cd "$1"
mount --make-rprivate /
mkdir root store
mount -t tmpfs store store
mkdir store/upper store/work
mount -t overlay overlay -o "lowerdir=$2,upperdir=store/upper,workdir=store/work" root
mount -t proc proc root/proc
mount -t sysfs sysfs root/sys
mount -t cgroup2 cgroup root/sys/fs/cgroup
for directory in run tmp dev; do mount -t tmpfs -o mode=755 "$directory" "root/$directory"; done
chmod 1777 root/tmp
mkdir root/dev/pts root/dev/shm
while read -r device minor; do
    mknod -m 666 "root/dev/$device" c ${minor/:/ }
done <<'END'
null 1:3
zero 1:5
full 1:7
random 1:8
urandom 1:9
tty 5:0
END
ln -s pts/ptmx root/dev/ptmx
ln -s /proc/self/fd root/dev/fd
mkdir -p root/run/systemd
# Nothing of what this machine was set up to start, nor what keeps packages from starting anything.
rm -rf root/etc/systemd/system/*.wants root/usr/sbin/policy-rc.d
# The databases of the machine, if there are any, are not for us.
rm -rf root/var/lib/ovn root/var/lib/openvswitch root/var/log/ovn root/etc/ovn-extaddr
# The journal stays in memory.
rm -rf root/var/log/journal
# A root of its own rather than chroot(2): systemd gives services mounts of their own, which a root that is not a mount
# refuses.
mkdir root/outside
cd root
pivot_root . outside
umount -l /outside
rmdir /outside
# As a container's manager does: systemd mounts a service's credentials in a name space from which they have to get here.
mount --make-rshared /
exec env -i container=oxa PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=basic.target
