"""libvirt as a crash case asks it. By its library: a process of virsh for each call took a fifth of the matrix's time."""
import libvirt
import libvirt_qemu

Error = libvirt.libvirtError
libvirt.registerErrorHandler(lambda *_: None, None)  # what it would print is raised as well
opened = None


def connection():
    global opened
    if not opened or not opened.isAlive():
        opened = libvirt.open("qemu:///system")
    return opened


def domain(name):
    return connection().lookupByName(name)


def define(xml):
    connection().defineXML(xml)


def start(name, paused=True):
    domain(name).createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)


def destroy(name):
    domain(name).destroy()


def undefine(name):
    domain(name).undefine()


def remove(name):
    """Whatever there still is of it."""
    for end in (libvirt.virDomain.destroy, lambda it: it.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)):
        try:
            end(domain(name))
        except Error:
            pass


def save(name, path):
    domain(name).save(path)


def restore(path, paused):
    connection().restoreFlags(path, None, libvirt.VIR_DOMAIN_SAVE_PAUSED if paused else libvirt.VIR_DOMAIN_SAVE_RUNNING)


def managed_save(name):
    domain(name).managedSave()


def is_running(name):
    return domain(name).state()[0] == libvirt.VIR_DOMAIN_RUNNING


def has_agent(name):
    try:
        return "state='connected'" in domain(name).XMLDesc()
    except Error:
        return False


def agent_command(name, text, seconds=60):
    """The reply's text, None: there was none."""
    try:
        return libvirt_qemu.qemuAgentCommand(domain(name), text, seconds, 0)
    except Error:
        return None
