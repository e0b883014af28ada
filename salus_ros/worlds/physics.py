"""The numbers that make the built-in world: how it moves, grips, touches, measures and fails.

Two sets of them are kept, one for each world that is registered; nothing else differs between
the two. docs/world.md names the source of every number.
"""

import math
from dataclasses import dataclass

from salus_ros.core.schema import RATE_HZ

ENV_ID = "salus/PickPlace-v1"
"""Gymnasium id of the world where none is named."""

FIRST_ENV_ID = "salus/PickPlace-v0"
"""That of the first world; episodes that name none ran there."""

PHYSX_ENV_ID = "salus/PickPlace-physx"
"""That of the default world's scene and numbers with PhysX under it."""

NEWTON_ENV_ID = "salus/PickPlace-physx-newton"
"""That of the same with images by Newton's ray tracer."""

ISAAC_ENV_ID = "salus/PickPlace-isaac"
"""That of the same in Isaac Sim, with images by its RTX renderer."""

CUBE_MASS_KG = 0.08
GRAVITY_M_S2 = 9.81

JointValues = tuple[float, float, float, float, float, float, float]
"""One value per joint of the arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Physics:
    """Numbers of a world; lengths in m, forces in N, times in s.

    Attributes:
        timestep_s: Step of the physics.
        substeps: Physics steps in a control step; together they last 1 / `RATE_HZ`.
        max_steps: Time limit of an episode in control steps.
        joint_stiffness: Position gain of the arm's joints in Nm/rad.
        joint_damping: Velocity gain of the arm's joints in Nm s/rad.
        joint_friction: Viscous friction of the arm's joints in Nm s/rad, which no gain makes.
        blend_substeps: Physics steps in which a set point is blended into the next one.
        leash_m: How far the target may run ahead of the measured tool centre, along each axis;
            together with the stiffness it bounds contact forces.
        near_height_m: Tool or target below this height count as near a surface.
        near_speed_m_s: Speed limit of the target there.
        finger_stiffness: Position gain of a finger in N/m.
        finger_force_n: Largest force of a finger.
        finger_speed_m_s: Speed of a finger's set point.
        finger_windup_m: How far the set point may run into what is held; with the stiffness it
            is the grip force.
        gripper_debounce_steps: Commands in a row that it takes to open or to close.
        surface_solref: Contact of table, bin and obstacle, as MuJoCo's time constant in s and
            damping ratio.
        contact_weights: Whose contact parameters count when two meet (MuJoCo's solmix): those of
            the robot, of the surfaces, of the cubes.
        surface_force_n: Force of the robot on table or bin above which it is a collision.
        obstacle_force_n: The same on the obstacle, the carried cube's included.
        collision_time_s: How long the force must last.
        retries: How often a lost object may be grasped again; one loss more is a failure.
        retry_steps: Control steps in which it must be grasped again.
        fault_rate: Share of the episodes that get each fault, where faults are drawn.
        push_n: Range of the force on the object.
        push_substeps: How long it acts.
        slip_friction: Range of the sliding friction at the end of a slip.
        slip_from: Sliding friction at its beginning.
        slip_ramp_s: Range of the time from the beginning to the end.
        slip_speed_m_s: Sliding speed at which the friction of a slipping contact has doubled.
        pixel_dark_noise: Standard deviation of a black pixel's value, of 255.
        pixel_shot_noise: Variance of a pixel's value for each unit of it.
        encoder_noise_rad: Standard deviation of a measured joint angle.
        velocity_noise_rad_s: Standard deviation of a measured joint velocity.
        effort_noise_nm: Standard deviation of a measured joint torque.
        finger_noise_m: Standard deviation of a measured finger position.
    """

    timestep_s: float
    substeps: int
    max_steps: int
    joint_stiffness: JointValues
    joint_damping: JointValues
    joint_friction: JointValues
    blend_substeps: int
    leash_m: float
    near_height_m: float
    near_speed_m_s: float
    finger_stiffness: float
    finger_force_n: float
    finger_speed_m_s: float
    finger_windup_m: float
    gripper_debounce_steps: int
    surface_solref: tuple[float, float]
    contact_weights: tuple[float, float, float]
    surface_force_n: float
    obstacle_force_n: float
    collision_time_s: float
    retries: int
    retry_steps: int
    fault_rate: float
    push_n: tuple[float, float]
    push_substeps: int
    slip_friction: tuple[float, float]
    slip_from: float
    slip_ramp_s: tuple[float, float]
    slip_speed_m_s: float
    pixel_dark_noise: float
    pixel_shot_noise: float
    encoder_noise_rad: float
    velocity_noise_rad_s: float
    effort_noise_nm: float
    finger_noise_m: float

    @property
    def push_impulse_n_s(self) -> tuple[float, float]:
        """Range of the impulse on the object, which is force times duration."""
        low, high = (force * self.push_substeps * self.timestep_s for force in self.push_n)
        return low, high

    def gripper_steps(self, travel_m: float) -> int:
        """Control steps from a first command until the fingers have travelled so far."""
        moving = math.ceil(travel_m / self.finger_speed_m_s * RATE_HZ)
        return self.gripper_debounce_steps - 1 + moving


RIGID = Physics(
    timestep_s=0.004,
    substeps=8,
    max_steps=200,
    joint_stiffness=(2500.0, 2500.0, 2500.0, 2500.0, 1200.0, 1200.0, 1200.0),
    joint_damping=(0.0,) * 7,
    joint_friction=(20.0, 20.0, 20.0, 20.0, 20.0, 10.0, 10.0),
    blend_substeps=1,
    leash_m=0.02,
    near_height_m=0.0,
    near_speed_m_s=math.inf,
    finger_stiffness=600.0,
    finger_force_n=20.0,
    finger_speed_m_s=math.inf,
    finger_windup_m=math.inf,
    gripper_debounce_steps=1,
    surface_solref=(0.02, 1.0),
    contact_weights=(1.0, 1.0, 1.0),
    surface_force_n=80.0,
    obstacle_force_n=20.0,
    collision_time_s=0.016,
    retries=0,
    retry_steps=0,
    fault_rate=0.1,
    push_n=(3.0, 9.0),
    push_substeps=48,
    slip_friction=(0.005, 0.15),
    slip_from=1.5,
    slip_ramp_s=(0.0, 0.0),
    slip_speed_m_s=math.inf,
    pixel_dark_noise=0.0,
    pixel_shot_noise=0.0,
    encoder_noise_rad=0.0,
    velocity_noise_rad_s=0.0,
    effort_noise_nm=0.0,
    finger_noise_m=0.0,
)
"""Numbers of `salus/PickPlace-v0`, in which the first shipped episodes were recorded.

Its 8 physics steps last 32 ms, so that its clock is 4 % slow.
"""

_GRIP_N = 20.0
_FINGER_STIFFNESS = 3000.0

HOLDING_FRICTION = CUBE_MASS_KG * GRAVITY_M_S2 / (2 * _GRIP_N)
"""Sliding friction at which two fingers at the grip force of `COMPLIANT` just hold a cube."""

COMPLIANT = Physics(
    timestep_s=1 / 240,
    substeps=8,
    max_steps=400,
    joint_stiffness=(400.0, 400.0, 400.0, 400.0, 250.0, 250.0, 250.0),
    joint_damping=(30.0, 40.0, 30.0, 30.0, 10.0, 10.0, 10.0),
    joint_friction=(1.0,) * 7,
    blend_substeps=8,
    leash_m=0.04,
    near_height_m=0.13,
    near_speed_m_s=0.15,
    finger_stiffness=_FINGER_STIFFNESS,
    finger_force_n=70.0,
    finger_speed_m_s=0.05,
    finger_windup_m=_GRIP_N / _FINGER_STIFFNESS,
    gripper_debounce_steps=4,
    surface_solref=(1.0, 0.2),
    contact_weights=(1e-4, 1.0, 1e4),
    surface_force_n=20.0,
    obstacle_force_n=20.0,
    collision_time_s=0.05,
    retries=1,
    retry_steps=150,
    fault_rate=0.03,
    push_n=(1.2, 4.8),
    push_substeps=4,
    slip_friction=(0.4 * HOLDING_FRICTION, 1.3 * HOLDING_FRICTION),
    slip_from=2.0 * HOLDING_FRICTION,
    slip_ramp_s=(0.3, 1.0),
    slip_speed_m_s=0.1,
    pixel_dark_noise=0.5,
    pixel_shot_noise=0.025,
    encoder_noise_rad=1e-4,
    velocity_noise_rad_s=1e-3,
    effort_noise_nm=0.005,
    finger_noise_m=1e-4,
)
"""Numbers of `salus/PickPlace-v1`, whose failures announce themselves as real ones do."""
