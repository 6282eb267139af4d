"""A configuration directory to a snapshot: all of it or, with every fault named, none of it."""

import gc
from collections.abc import Mapping
from pathlib import Path

from broker.directory.assemble import AccountAssembler, Configuration
from broker.directory.managed import aws_policies, root_tasks
from broker.directory.model import Snapshot
from broker.directory.password_hashes import password_warnings
from broker.directory.reading import AccountReader, DeclaredAccount, account_files
from broker.directory.warnings import principal_warnings, tagging_warnings, unreachable_providers
from broker.settings import ConfigurationError, Fault, Overrides
from broker.settings.loading import FILE, load_settings
from broker.settings.sources import Sources

_NO_OVERRIDES = Overrides()


def load(directory: Path, *, environ: Mapping[str, str], overrides: Overrides = _NO_OVERRIDES) -> Snapshot:
    """The snapshot of `load_declared` alone, with its errors."""
    return load_declared(directory, environ=environ, overrides=overrides)[0]


def load_declared(
    directory: Path, *, environ: Mapping[str, str], overrides: Overrides
) -> tuple[Snapshot, Mapping[str, DeclaredAccount]]:
    """A snapshot and the declarations, with their places in files, that it was made of.

    Read `directory`: its `sojourn.yaml` under the environment's variables and the flags, and its accounts.

    Blocks for as long as the files take.

    Raises:
        ConfigurationError: something is wrong; everything that is, at once.
    """
    faults: list[Fault] = []
    warnings: list[Fault] = []
    sources = Sources(directory, environ)
    # Nearly everything made here lives on, so collecting meanwhile finds nothing and takes a third of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _load(directory, sources, environ, overrides, faults, warnings)
    except OSError as error:
        faults.append(Fault(Path(error.filename or directory), 0, str(error.strerror)))
        raise ConfigurationError(faults, warnings, sources.stamps) from None
    finally:
        if collecting:
            gc.enable()


def _load(
    directory: Path,
    sources: Sources,
    environ: Mapping[str, str],
    overrides: Overrides,
    faults: list[Fault],
    warnings: list[Fault],
) -> tuple[Snapshot, Mapping[str, DeclaredAccount]]:
    loaded = load_settings(sources, environ, overrides, faults, warnings)
    partition = loaded.settings.sts.partition if loaded else "aws"
    reader = AccountReader(sources, partition, faults)
    for path in account_files(directory):
        reader.read(path)
    policies = aws_policies(reader.aws.policies, partition)
    configuration = Configuration(partition, policies, reader.complete, faults, warnings)
    accounts = {each.id: AccountAssembler(each, configuration).account() for each in reader.accounts.values()}
    if loaded is not None and reader.complete:
        management = loaded.settings.organization.management_account
        if management is not None and management not in accounts:
            location = ("organization", "management_account")
            faults.append(loaded.place(location, f"no file describes account {management}"))
    if loaded is None or faults:
        raise ConfigurationError(faults, warnings, sources.stamps)
    warnings += principal_warnings(reader.accounts, accounts)
    warnings += tagging_warnings(reader.accounts, accounts)
    warnings += password_warnings(reader.accounts)
    warnings += unreachable_providers(reader.accounts, loaded.settings)
    if not accounts:
        warnings.append(Fault(directory / FILE, 1, "no account is described, in accounts/*.yaml, .yml or .json"))
    snapshot = Snapshot(
        settings=loaded.settings,
        accounts=accounts,
        aws_managed_policies=policies,
        root_tasks=root_tasks(partition),
        warnings=tuple(sorted(set(warnings))),
        files=sources.stamps,
    )
    return snapshot, reader.accounts
