"""Old place of `pool.end_with_parent`."""

from salus_ros.core.pool import end_with_parent as end_with_parent
