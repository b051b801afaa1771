"""What the library says when it cannot do what it was asked: one sentence each."""


class GnnError(ValueError):
    """Base of every error that a wrong input causes; its text is one sentence for the user."""


class UnknownNameError(GnnError):
    """A task, model or method that is not registered."""


class SettingError(GnnError):
    """A setting outside its range."""


class DatasetError(GnnError):
    """A dataset that is missing, truncated or not what its checksum says."""


class StorageError(GnnError):
    """A model file that is not what it claims to be."""


class DivergenceError(GnnError):
    """A training run whose loss is no longer a number."""


class CacheError(GnnError):
    """A cache folder that this user cannot read or write."""


class NothingFoundError(GnnError):
    """A search in which nothing fulfils the limits."""
